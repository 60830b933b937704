/* cmd_list.h - COMMAND(word, function, help): server/cmd_WORD.c defines
 * `int function(int argc, char **argv)`, argv[0] being the word; it returns the exit code: 0 done,
 * 1 it failed or found something, 2 wrong usage. help NULL hides a command from `--help`. */
COMMAND("serve", cmd_serve, "receive alerts, decide and act, until SIGTERM")
COMMAND("init", cmd_init, "write a commented starter configuration")
COMMAND("check", cmd_check, "say what is wrong with the configuration and its policy")
COMMAND("doctor", cmd_doctor, "ask the outside world whether all that cordon needs is there")
COMMAND("send", cmd_send, "push a notification as a source would")
COMMAND("connect", cmd_connect, "write what a sender needs: a Logic App, a flow, a Function, curl")
COMMAND("keygen", cmd_keygen, "make a new secret for a sender, or an Ed25519 pair")
COMMAND("cases", cmd_cases,
        "what is known and done about each alert: list, show, explain, retry, drop")
COMMAND("isolations", cmd_isolations,
        "every episode of a machine being isolated: list, show, release, extend")
COMMAND("questions", cmd_questions, "what people are asked: list, show")
COMMAND("approve", cmd_approve, "say yes to a question")
COMMAND("refuse", cmd_refuse, "say no to a question")
COMMAND("silences", cmd_silences,
        "alerts that nobody is told of for a while: list, show, preview, add, approve, end")
COMMAND("pause", cmd_pause, "stop isolating, until `resume`: the kill switch")
COMMAND("resume", cmd_resume, "go on after `pause`")
COMMAND("hunt", cmd_hunt, "queries of your own on a schedule: list, run NAME [--dry]")
COMMAND("notify", cmd_notify, "what people are told: preview the mail of a case")
COMMAND("store", cmd_store, "care of the store: check, backup FILE, restore FILE")
COMMAND("backtest", cmd_backtest, "say what a policy would have done with real alerts; reads only")
COMMAND("audit", cmd_audit, "the record of what cordon did: verify, export")
COMMAND("healthcheck", cmd_healthcheck, "is the running server ready? for containers and managers")
COMMAND("fields", cmd_fields, "the fields that rules and templates may name")
COMMAND("metrics", cmd_metrics, "every metric: what it means, and what to do about it")
COMMAND("smtp-child", cmd_smtp_child, NULL)
