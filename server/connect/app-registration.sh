#!/bin/sh
# Registers in Entra ID, with the az command, what the source {{source}} of cordon asks for, and no more:
#
#   sh app-registration.sh door              the application that stands for cordon's door, with one role
#   sh app-registration.sh client NAME       an application for a sender, with a secret in the file NAME.secret
#   sh app-registration.sh grant OBJECT_ID   lets a service principal or managed identity in
#
# Only who was granted the role gets a token at all, and no user does. Run twice it does no harm.
set -eu

tenant='{{tenant_id}}'
audience='{{audience}}'
role='{{role}}'
graph='{{graph_url}}/v1.0'

signed_in=$(az account show --query tenantId -o tsv)
if [ "$signed_in" != "$tenant" ]; then
    echo "az is signed in to tenant $signed_in, not $tenant: az login --tenant $tenant" >&2
    exit 1
fi

find_door() { # its application id, or nothing
    case $audience in
    *://*) az ad app list --identifier-uri "$audience" --query '[0].appId' -o tsv ;;
    *) echo "$audience" ;;
    esac
}

principal_of() { # APPLICATION_ID: the object id of its service principal, which is made if need be
    found=$(az ad sp list --filter "appId eq '$1'" --query '[0].id' -o tsv)
    if [ -n "$found" ]; then echo "$found"; else az ad sp create --id "$1" --query id -o tsv; fi
}

role_id_of() { # APPLICATION_ID: the id of the role, or nothing
    az ad app show --id "$1" --query "appRoles[?value=='$role'].id | [0]" -o tsv
}

need_door() { # sets door and role_id
    door=$(find_door) role_id=
    [ -z "$door" ] || role_id=$(role_id_of "$door")
    if [ -z "$role_id" ]; then
        echo "there is no door with the role $role yet: sh app-registration.sh door" >&2
        exit 1
    fi
}

grant() { # OBJECT_ID
    need_door
    az rest --method POST --url "$graph/servicePrincipals/$1/appRoleAssignments" \
        --headers Content-Type=application/json \
        --body "{\"principalId\":\"$1\",\"resourceId\":\"$(principal_of "$door")\",\"appRoleId\":\"$role_id\"}" >/dev/null
    echo "$1 has the role $role"
}

case ${1:-} in
door)
    door=$(find_door) made=
    if [ -z "$door" ]; then # `az ad app create` would take the application that has the name already, cordon's own for one
        door=$(az rest --method POST --url "$graph/applications" --headers Content-Type=application/json \
            --body '{"displayName":"cordon door","signInAudience":"AzureADMyOrg"}' --query appId -o tsv)
        made=$door
        trap 'az ad app delete --id "$made"' EXIT # what was not finished is not found again by the next run
    fi
    if [ -z "$(role_id_of "$door")" ]; then # what is set takes the place of the roles that there are
        others=$(az ad app show --id "$door" --query 'length(appRoles)' -o tsv)
        if [ "$others" != 0 ]; then
            echo "application $door has roles of its own: add $role to them in the portal, for applications" >&2
            exit 1
        fi
        object=$(az ad app show --id "$door" --query id -o tsv)
        az rest --method PATCH --url "$graph/applications/$object" --headers Content-Type=application/json \
            --body "{\"api\":{\"requestedAccessTokenVersion\":2},\"appRoles\":[{\"id\":\"3f0c2f1e-7c11-4a55-9a39-1f6a2f0f9c01\",\"value\":\"$role\",\"displayName\":\"Push alerts\",\"description\":\"May push alerts to cordon\",\"allowedMemberTypes\":[\"Application\"],\"isEnabled\":true}]}"
    fi
    if [ -n "$made" ]; then # last: of an application with v1 tokens Entra ID may take no name of one's own choice
        if ! az ad app update --id "$door" --identifier-uris "$audience"; then
            echo "Entra ID does not take the audience $audience, see above. One with the tenant's id in it is" >&2
            echo "always good: name api://$tenant/cordon in the source's entra entry, and let cordon write this anew" >&2
            exit 1
        fi
        trap - EXIT
    fi
    az ad sp update --id "$(principal_of "$door")" --set appRoleAssignmentRequired=true
    echo "The door is application $door. The source {{source}} of cordon lists:"
    echo "  verify:"
    echo "    - entra: {audience: [\"$audience\", \"$door\"], roles: [$role]}"
    ;;
client)
    name=${2:?NAME}
    need_door
    taken=$(az ad app list --filter "displayName eq '$name'" --query '[0].appId' -o tsv)
    if [ -n "$taken" ]; then
        echo "there is an application called $name already, and its secrets are for something else: choose another name." >&2
        echo "One that is the sender's is let in by the id of its service principal: sh app-registration.sh grant OBJECT_ID" >&2
        exit 1
    fi
    client=$(az ad app create --display-name "$name" --sign-in-audience AzureADMyOrg --query appId -o tsv)
    (umask 077; az ad app credential reset --id "$client" --append --query password -o tsv >"$name.secret")
    echo "Client ID $client, its secret is in $name.secret"
    grant "$(principal_of "$client")"
    ;;
grant)
    grant "${2:?OBJECT_ID}"
    ;;
*)
    echo "usage: sh app-registration.sh door | client NAME | grant OBJECT_ID" >&2
    exit 2
    ;;
esac
