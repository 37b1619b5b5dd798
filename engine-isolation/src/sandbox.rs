//! The restrictions that the child puts on itself before it reads the model.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
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

use crate::protocol::{Confinement, Start};

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
/// The highest number of open files.
const FILES: u64 = 1024;

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
    let landlock = landlock(&start.readable).map_err(|error| failed("use Landlock", error))?;
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
        let limit = Some(hard.map_or(limit, |hard| hard.min(limit)));
        setrlimit(
            resource,
            Rlimit {
                current: limit,
                maximum: limit,
            },
        )?;
    }
    Ok(())
}

/// Allows reading [`SYSTEM`], the loader's directories and `readable`, and writing to `/dev/null`. Refuses all else
/// with files, TCP and other processes. Returns whether the kernel enforces all of it, or `None` if it has no Landlock.
fn landlock(readable: &[OsString]) -> Result<Option<bool>, RulesetError> {
    let libraries = env::var_os(LIBRARY_PATH).unwrap_or_default();
    let libraries = env::split_paths(&libraries).filter(|path| path.is_absolute());
    let paths: Vec<PathBuf> = SYSTEM
        .iter()
        .map(PathBuf::from)
        .chain(libraries)
        .chain(readable.iter().map(PathBuf::from))
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

/// System calls that no engine needs. They start processes, use the network, reach other processes, change files'
/// rights and owners (which Landlock does not cover), or administrate the machine.
const REFUSED: &[i64] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bind,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_connect,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_finit_module,
    libc::SYS_fremovexattr,
    libc::SYS_fsconfig,
    libc::SYS_fsetxattr,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_listen,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    // Its memory would be no part of the limit on the address space.
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_msgget,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_removexattr,
    libc::SYS_request_key,
    libc::SYS_semget,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_setxattr,
    libc::SYS_shmget,
    libc::SYS_socket,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_utimensat,
];
/// Older forms of these system calls, which other architectures lack.
#[cfg(target_arch = "x86_64")]
const REFUSED_OLDER: &[i64] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_fork,
    libc::SYS_futimesat,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_lchown,
    libc::SYS_modify_ldt,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_OLDER: &[i64] = &[];
/// Calls whose first argument is a process. Only this process is allowed.
const OWN_PROCESS: [i64; 4] = [
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
];
/// x86-64 has each call under a second number, with this bit.
const SECOND_NUMBERS: i64 = 0x4000_0000;

/// Refuses system calls. Returns whether the architecture has filters.
fn seccomp() -> Result<bool, seccompiler::Error> {
    let Ok(architecture) = TargetArch::try_from(env::consts::ARCH) else {
        return Ok(false);
    };
    let compiled = |rules: Rules, error: i32| -> Result<BpfProgram, seccompiler::Error> {
        let refused = SeccompAction::Errno(error as u32);
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture)?;
        Ok(filter.try_into()?)
    };
    let [refused, unknown] = [
        compiled(refused()?, libc::EPERM)?,
        // After ENOSYS, glibc calls `clone`, whose flags a filter can read.
        compiled(always([libc::SYS_clone3]), libc::ENOSYS)?,
    ];
    apply_filter(&refused)?;
    apply_filter(&unknown)?;
    Ok(true)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Returns rules that match each of `calls`.
fn always(calls: impl IntoIterator<Item = i64>) -> Rules {
    let calls = calls.into_iter();
    calls
        .flat_map(numbers)
        .map(|call| (call, Vec::new()))
        .collect()
}

fn numbers(call: i64) -> impl Iterator<Item = i64> {
    let second = cfg!(target_arch = "x86_64").then_some(call | SECOND_NUMBERS);
    std::iter::once(call).chain(second)
}

fn refused() -> Result<Rules, seccompiler::Error> {
    let first = |operator, value| -> Result<SeccompRule, seccompiler::Error> {
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, operator, value)?;
        Ok(SeccompRule::new(vec![condition])?)
    };
    let own = getpid().as_raw_nonzero().get() as u64;
    let mut rules = always(REFUSED.iter().chain(REFUSED_OLDER).copied());
    for call in OWN_PROCESS.into_iter().flat_map(numbers) {
        rules.insert(call, vec![first(SeccompCmpOp::Ne, own)?]);
    }
    for call in numbers(libc::SYS_prlimit64) {
        // 0 means this process, too.
        let other = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, own)?;
        let named = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0)?;
        rules.insert(call, vec![SeccompRule::new(vec![other, named])?]);
    }
    let threads = libc::CLONE_THREAD as u64;
    for call in numbers(libc::SYS_clone) {
        // Allows new threads and refuses new processes.
        rules.insert(call, vec![first(SeccompCmpOp::MaskedEq(threads), 0)?]);
    }
    Ok(rules)
}
