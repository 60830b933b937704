/* port.h - ports of 127.0.0.1 for what comes back to its own after it was away.
 *
 * A port that was merely free when somebody looked may be another test's a moment later, while the server that was to have it
 * is down: then each gets the other's requests. Those that are given out here no other test is given as long as this
 * process lives, and the kernel gives them to nobody who connects.
 */
#ifndef KIT_PORT_H
#define KIT_PORT_H

/** One that nobody listens on. Fails the test when there is none. Threads: one at a time. */
unsigned port_take(void);
/** As "127.0.0.1:PORT"; returns out. */
char *port_take_address(char out[40]);

#endif
