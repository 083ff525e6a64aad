/* SPDX-License-Identifier: GPL-3.0-or-later */
/* machine_lock.h -- who has this machine to itself. A speed is only a speed when nothing else of
 * ours was measured beside it.
 *
 * The lock is the name of a listening socket in the abstract namespace of Linux: there is no file
 * to leave behind, and the kernel gives the name back when its holder dies. What measures (sweep,
 * train, bench, headlab, regress) asks for it:
 *
 *   nobody has it              MACHINE_OURS     it takes it, and may bind its threads to cores
 *   an ancestor has it         MACHINE_OURS     which EIGHTYSIX_MACHINE says, see below
 *   another process has it     MACHINE_TAKEN    it runs unbound, and is connected to the holder for
 *                                               as long as it runs: so the holder knows of it
 *   there are no such sockets  MACHINE_UNKNOWN  nothing is said of who shares the machine
 *
 * Both ask machine_shared from time to time, and what they find belongs to their runs. When the
 * holder ends, the next one that asks takes the lock.
 *
 * The environment variable EIGHTYSIX_MACHINE=PID:FD tells the children of a holder that they need
 * no lock of their own; PID is the holder, which finds its socket FD again after an exec.
 *
 * A machine is a network namespace here: containers with networks of their own do not see each
 * other. The load that every run records (disturbance.h) shows these, and all that is not ours. */
#ifndef MACHINE_LOCK_H
#define MACHINE_LOCK_H

enum { MACHINE_GUESTS = 64 };            /* at most as many are accepted at once */
typedef enum { MACHINE_UNKNOWN, MACHINE_OURS, MACHINE_TAKEN } MachineState;
typedef struct MachineLock {
    MachineState state;
    int          fd;                     /* ours: it listens; taken: it is connected; -1: none */
    int          guest[MACHINE_GUESTS], guests;        /* connections of others to ours */
} MachineLock;

/* Takes the lock, or finds that another process has it, and says so on stderr. */
void machine_ask   (MachineLock *);
/* 1: since machine_ask or the last call another process of ours measured here, if only for a
 * moment; 0: none did, or it is not known. Where the holder is gone, asks for the lock again. */
int  machine_shared(MachineLock *);
/* Gives it back. */
void machine_leave (MachineLock *);
/* The OpenMP runtime reads its settings before main. Where the machine is ours and OMP_PROC_BIND is
 * not set, sets it and starts this program again; the lock is kept. */
void machine_bind_threads(MachineLock *);

/* Of the socket; tests take another one */
extern const char *machine_lock_name;
#endif
