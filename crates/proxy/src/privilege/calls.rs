//! The system calls of a proxy at work, as data. Each group says who needs it.

use libc::*;

/// When a call is allowed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Allowed {
    Always,
    /// The argument (from 0) has one of these values.
    ArgumentIs(u8, &'static [u64]),
    /// The argument has none of these bits.
    Without(u8, u64),
}

use Allowed::{Always, ArgumentIs, Without};

/// Everything else ends the process.
pub(super) const ALLOWED: &[(c_long, Allowed)] = &[
    // Traffic: event loop and sockets. No bind, no listen: listening sockets come from the agent.
    (SYS_epoll_create1, Always),
    (SYS_epoll_ctl, Always),
    #[cfg(target_arch = "x86_64")]
    (SYS_epoll_wait, Always),
    (SYS_epoll_pwait, Always),
    (SYS_epoll_pwait2, Always),
    (SYS_accept4, Always),
    (SYS_socket, ArgumentIs(0, &[AF_INET as u64, AF_INET6 as u64])),
    (SYS_connect, Always),
    (SYS_shutdown, Always),
    (SYS_getsockopt, Always),
    (SYS_setsockopt, Always),
    (SYS_getsockname, Always),
    (SYS_getpeername, Always),
    (SYS_recvfrom, Always),
    (SYS_recvmsg, Always),
    (SYS_sendto, Always),
    (SYS_sendmsg, Always),
    (SYS_read, Always),
    (SYS_readv, Always),
    (SYS_write, Always),
    (SYS_writev, Always),
    (SYS_splice, Always),
    (SYS_pipe2, Always),
    (SYS_fcntl, Always),
    (SYS_close, Always),
    (SYS_eventfd2, Always),
    (SYS_ioctl, ArgumentIs(1, &[FIONBIO, FIONREAD])),
    // Waiting and time.
    #[cfg(target_arch = "x86_64")]
    (SYS_poll, Always),
    (SYS_ppoll, Always),
    (SYS_nanosleep, Always),
    (SYS_clock_nanosleep, Always),
    (SYS_clock_gettime, Always),
    (SYS_clock_getres, Always),
    (SYS_gettimeofday, Always),
    // Memory, never executable.
    (SYS_brk, Always),
    (SYS_mmap, Without(2, PROT_EXEC as u64)),
    (SYS_mprotect, Without(2, PROT_EXEC as u64)),
    (SYS_mremap, Always),
    (SYS_munmap, Always),
    (SYS_madvise, Always),
    // Threads and locks.
    (
        SYS_clone,
        Without(
            0,
            (CLONE_NEWNS
                | CLONE_NEWUSER
                | CLONE_NEWPID
                | CLONE_NEWNET
                | CLONE_NEWIPC
                | CLONE_NEWUTS
                | CLONE_NEWCGROUP) as u32 as u64,
        ),
    ),
    (SYS_set_robust_list, Always),
    (SYS_rseq, Always),
    (SYS_futex, Always),
    (SYS_sched_yield, Always),
    (SYS_sched_getaffinity, Always),
    (SYS_membarrier, Always),
    (SYS_getcpu, Always),
    (SYS_prctl, ArgumentIs(0, &[PR_SET_NAME as u64, PR_SET_VMA as u64])),
    // Randomness for TLS and hash tables.
    (SYS_getrandom, Always),
    // Who and what am I; limits.
    (SYS_getpid, Always),
    (SYS_gettid, Always),
    (SYS_getuid, Always),
    (SYS_geteuid, Always),
    (SYS_getgid, Always),
    (SYS_getegid, Always),
    (SYS_uname, Always),
    (SYS_sysinfo, Always),
    (SYS_prlimit64, Always),
    (SYS_fstat, Always),
    (SYS_lseek, Always),
    // Signals, panics, the end.
    (SYS_rt_sigaction, Always),
    (SYS_rt_sigprocmask, Always),
    (SYS_rt_sigreturn, Always),
    (SYS_sigaltstack, Always),
    (SYS_restart_syscall, Always),
    (SYS_tgkill, Always),
    (SYS_exit, Always),
    (SYS_exit_group, Always),
];

/// Asked for by libraries in good faith: refused with an error, and nothing more.
pub(super) const REFUSED: &[(c_int, &[c_long])] = &[
    // A panic that wants to read the program to say where it was.
    (
        EACCES,
        &[
            SYS_openat,
            #[cfg(target_arch = "x86_64")]
            SYS_open,
            #[cfg(target_arch = "x86_64")]
            SYS_stat,
            #[cfg(target_arch = "x86_64")]
            SYS_lstat,
            #[cfg(target_arch = "x86_64")]
            SYS_access,
            #[cfg(target_arch = "x86_64")]
            SYS_readlink,
            #[cfg(target_arch = "x86_64")]
            SYS_unlink,
            SYS_newfstatat,
            SYS_statx,
            SYS_faccessat,
            SYS_faccessat2,
            SYS_readlinkat,
            SYS_unlinkat,
            SYS_getcwd,
        ],
    ),
    // The C library then takes clone, whose flags can be looked at.
    (ENOSYS, &[SYS_clone3]),
];
