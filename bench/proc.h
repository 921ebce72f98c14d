/* What a server costs, read from outside: CPU time and user-space memory of a process and all its
 * descendants (nginx works in children, others in threads). */
#ifndef BENCH_PROC_H
#define BENCH_PROC_H

#include <stdint.h>
#include <sys/types.h>

/* User + system CPU time in ns of pid and its living descendants, all threads. It is the
 * scheduler's own sum (the CPU-time clock of the process), so it has no 10 ms ticks like utime and
 * stime in /proc/PID/stat. 0 on success, -1 if pid is gone. */
int proc_cpu_ns(pid_t pid, uint64_t *ns);

/* User-space memory in bytes of pid and its descendants: Pss_Anon + Pss_Shmem + SwapPss of
 * /proc/PID/smaps_rollup. Heap, stacks, anonymous and shared mappings count; pages shared between
 * the processes count once; program text and kernel socket memory do not count. -1 if pid is gone.
 */
int proc_memory_bytes(pid_t pid, uint64_t *bytes);

#endif
