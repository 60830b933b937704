/* cmd_cases.h - the parts of `cordon cases`. */
#ifndef CORDON_CMD_CASES_H
#define CORDON_CMD_CASES_H

/** `cordon cases explain ID`. */
int cmd_cases_explain(int argc, char **argv);

#endif
