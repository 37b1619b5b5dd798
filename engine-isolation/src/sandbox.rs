//! The restrictions that the child puts on itself before it reads the model.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use backend_api::{Error, ErrorKind};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, getpid, getrlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use crate::protocol::{Confinement, MOST_SLOTS, Start};

/// The Landlock version whose restrictions are requested: files, TCP, devices, signals. Older kernels enforce a part of
/// them.
const LANDLOCK: ABI = ABI::V6;

/// Places that engines and the C library read: libraries, the clock's zone, and descriptions of the hardware and of
/// this process. `/proc` as a whole would show other processes.
const SYSTEM: [&str; 17] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/dev/urandom",
];
/// The variable whose directories the loader searches.
const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";
/// The highest number of open files: two for each infer request, and those of the engine.
const FILES: u64 = 4 * MOST_SLOTS as u64;

/// Restricts this process until its end. It must have a single thread, because others would stay unrestricted.
pub fn confine(start: &Start) -> Result<Confinement, Error> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        let message =
            format!("the process of the engine has {threads} threads before it is confined");
        return Err(Error::new(ErrorKind::InvalidConfig, message)
            .with_hint("call `run_child` at the start of `main`, before the first thread"));
    }
    limit(start).map_err(|error| failed("limit its resources", error))?;
    rustix::thread::set_no_new_privs(true).map_err(|error| failed("give up privileges", error))?;
    let landlock = landlock(start).map_err(|error| failed("use Landlock", error))?;
    let seccomp = seccomp().map_err(|error| failed("use seccomp", error))?;
    Ok(Confinement { landlock, seccomp })
}

fn failed(action: &str, error: impl Display) -> Error {
    Error::new(
        ErrorKind::InvalidConfig,
        format!("the process of the engine cannot {action}: {error}"),
    )
}

/// Sets limits, which nobody can raise afterwards.
fn limit(start: &Start) -> rustix::io::Result<()> {
    let limits = [
        (Resource::As, start.memory),
        (Resource::Cpu, start.cpu_time),
        (Resource::Core, Some(0)),
        (Resource::Nofile, Some(FILES)),
        // The shared memory of the infer requests counts as files.
        (Resource::Fsize, Some(start.tensor_bytes)),
    ];
    for (resource, limit) in limits {
        let Some(limit) = limit else { continue };
        let hard = getrlimit(resource).maximum;
        let at_most = |limit: u64| Some(hard.map_or(limit, |hard| hard.min(limit)));
        // At the first limit of CPU time the signal names it, a second later it is SIGKILL.
        let more = u64::from(resource == Resource::Cpu);
        setrlimit(
            resource,
            Rlimit {
                current: at_most(limit),
                maximum: at_most(limit.saturating_add(more)),
            },
        )?;
    }
    Ok(())
}

/// Allows reading [`SYSTEM`], the files of `start` and the loader's directories if they are needed, and writing to
/// `/dev/null`. Refuses all else with files, TCP and other processes. Returns whether the kernel enforces all of it, or
/// `None` if it has no Landlock.
fn landlock(start: &Start) -> Result<Option<bool>, RulesetError> {
    let libraries = env::var_os(LIBRARY_PATH).unwrap_or_default();
    let libraries =
        env::split_paths(&libraries).filter(|path| start.loads_libraries && path.is_absolute());
    let paths: Vec<PathBuf> = SYSTEM
        .iter()
        .map(PathBuf::from)
        .chain(libraries)
        .chain(start.readable.iter().map(PathBuf::from))
        .collect();
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .add_rules(path_beneath_rules(paths, read))?
        .add_rules(path_beneath_rules(
            [Path::new("/dev/null")],
            read | AccessFs::WriteFile,
        ))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Some(true),
        RulesetStatus::PartiallyEnforced => Some(false),
        RulesetStatus::NotEnforced => None,
    })
}

/// System calls of the C library, of engines and of this crate. They use what the process has: its memory, its threads,
/// its own descriptors, clocks, and files, which Landlock restricts. None starts a process or makes a socket, changes
/// another process, or changes a file's rights, owner or attributes, which Landlock does not cover. All others fail as on a
/// kernel without them, which libraries are prepared for.
const ALLOWED: &[i64] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_get_mempolicy,
    libc::SYS_madvise,
    MAP_SHADOW_STACK,
    libc::SYS_mbind,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    MSEAL,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munmap,
    libc::SYS_set_mempolicy,
    libc::SYS_set_mempolicy_home_node,
    // Threads and signals of this process.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    FUTEX_REQUEUE,
    FUTEX_WAIT,
    libc::SYS_futex_waitv,
    FUTEX_WAKE,
    libc::SYS_membarrier,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    libc::SYS_wait4,
    libc::SYS_waitid,
    // The identity of the process, its threads' scheduling, and the machine.
    libc::SYS_capget,
    libc::SYS_getcpu,
    libc::SYS_getcwd,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getattr,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_rr_get_interval,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_umask,
    libc::SYS_uname,
    // Time.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getitimer,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_setitimer,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    // Files.
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_write,
    libc::SYS_writev,
    // The sockets that the parent has given.
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
];
/// Calls of one architecture: older forms of those above, and others that the C library makes there.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[i64] = &[
    libc::SYS_access,
    libc::SYS_alarm,
    // Requests the registers of AMX, and sets the base of a thread's variables.
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_getdents,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_lstat,
    libc::SYS_open,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
];
#[cfg(target_arch = "riscv64")]
const ALLOWED_HERE: &[i64] = &[RISCV_HWPROBE, RISCV_FLUSH_ICACHE];
#[cfg(not(any(target_arch = "x86_64", target_arch = "riscv64")))]
const ALLOWED_HERE: &[i64] = &[];
/// Numbers that the crate `libc` lacks on some architectures. They are the same on all.
const MAP_SHADOW_STACK: i64 = 453;
const FUTEX_WAKE: i64 = 454;
const FUTEX_WAIT: i64 = 455;
const FUTEX_REQUEUE: i64 = 456;
const MSEAL: i64 = 462;
/// Returns the length of the vectors of Arm's SVE.
const GET_VECTOR_LENGTH: i32 = 51;
/// Returns the length that they have in the streaming mode.
const GET_STREAMING_LENGTH: i32 = 64;
#[cfg(target_arch = "riscv64")]
const RISCV_HWPROBE: i64 = 258;
#[cfg(target_arch = "riscv64")]
const RISCV_FLUSH_ICACHE: i64 = 259;

/// Calls that are allowed for this process only: the argument that names a process has its number, or 0 where that means
/// the caller.
const OWN_PROCESS: [i64; 4] = [
    libc::SYS_kill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_tgkill,
];
const OWN_PROCESS_OR_0: [i64; 3] = [
    libc::SYS_move_pages,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setparam,
];
/// The classes of scheduling without a priority over other programs.
const SCHEDULING: [i32; 3] = [libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE];
/// The requests that are allowed for a descriptor. Others change attributes of a file, lock it, or have signals sent.
const FCNTL: [i32; 8] = [
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETPIPE_SZ,
    libc::F_GET_SEALS,
];
const IOCTL: [libc::Ioctl; 7] = [
    libc::FIOCLEX,
    libc::FIONBIO,
    libc::FIONCLEX,
    libc::FIONREAD,
    libc::TCGETS,
    libc::TCGETS2,
    libc::TIOCGWINSZ,
];
/// The names of threads and of mappings, and the lengths of the vectors of Arm processors.
const PRCTL: [i32; 6] = [
    libc::PR_GET_DUMPABLE,
    libc::PR_GET_NAME,
    GET_VECTOR_LENGTH,
    GET_STREAMING_LENGTH,
    libc::PR_SET_NAME,
    libc::PR_SET_VMA,
];

/// Refuses all system calls but those that are allowed. Returns whether the architecture has filters.
fn seccomp() -> Result<bool, seccompiler::Error> {
    let Ok(architecture) = TargetArch::try_from(env::consts::ARCH) else {
        return Ok(false);
    };
    let missing = SeccompAction::Errno(libc::ENOSYS as u32);
    let filter = SeccompFilter::new(allowed()?, missing, SeccompAction::Allow, architecture)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program)?;
    Ok(true)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn allowed() -> Result<Rules, seccompiler::Error> {
    let calls = ALLOWED.iter().chain(ALLOWED_HERE);
    let mut rules: Rules = calls.map(|call| (*call, Vec::new())).collect();
    let is = |argument: u8, value: u64| {
        let (length, equal) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
        SeccompCondition::new(argument, length, equal, value)
    };
    // Each rule is one value that is allowed.
    let values = |argument: u8, values: &[u64]| -> Result<Vec<SeccompRule>, seccompiler::Error> {
        let rules = values
            .iter()
            .map(|value| Ok(SeccompRule::new(vec![is(argument, *value)?])?));
        rules.collect()
    };
    let own = getpid().as_raw_nonzero().get() as u64;
    for call in OWN_PROCESS {
        rules.insert(call, values(0, &[own])?);
    }
    for call in OWN_PROCESS_OR_0 {
        rules.insert(call, values(0, &[own, 0])?);
    }
    let (mut read_limits, mut schedule) = (Vec::new(), Vec::new());
    for process in [own, 0] {
        // Limits are read, and not set: their new values have no place.
        let (length, equal) = (SeccompCmpArgLen::Qword, SeccompCmpOp::Eq);
        let nothing = SeccompCondition::new(2, length, equal, 0)?;
        read_limits.push(SeccompRule::new(vec![is(0, process)?, nothing])?);
        for class in SCHEDULING {
            let conditions = vec![is(0, process)?, is(1, class as u64)?];
            schedule.push(SeccompRule::new(conditions)?);
        }
    }
    rules.insert(libc::SYS_prlimit64, read_limits);
    rules.insert(libc::SYS_sched_setscheduler, schedule);
    rules.insert(
        libc::SYS_fcntl,
        values(1, &FCNTL.map(|request| request as u64))?,
    );
    #[allow(clippy::unnecessary_cast, reason = "musl has another type")]
    let ioctl = IOCTL.map(|request| request as u64);
    rules.insert(libc::SYS_ioctl, values(1, &ioctl)?);
    rules.insert(
        libc::SYS_prctl,
        values(0, &PRCTL.map(|request| request as u64))?,
    );
    // Threads, not processes. The C library falls back to it from `clone3`, whose flags a filter cannot read.
    let threads = libc::CLONE_THREAD as u64;
    let is_thread = SeccompCmpOp::MaskedEq(threads);
    let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, is_thread, threads)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![condition])?]);
    Ok(rules)
}
