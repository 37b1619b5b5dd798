//! `classify-cli`: starts the program `classify` that is installed next to it. Tools that expect a program with the
//! name of its Python package find this one: `uvx classify-cli`.

use std::env::{self, consts::EXE_SUFFIX};
use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use runtime_library::{program_paths, set_started_as};

/// The exit code of usage and environment, as that of `classify`.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let mut arguments = env::args_os();
    set_started_as(&arguments.next().unwrap_or_default());
    match start(arguments.collect()) {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("{error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Starts `classify` in this process, or waits for it where a process cannot become another one.
fn start(arguments: Vec<OsString>) -> Result<ExitCode, String> {
    let siblings: Vec<PathBuf> = program_paths()
        .iter()
        .filter_map(|it| sibling(it))
        .collect();
    // Next to the file itself, where both were installed. Next to a link there may be a stranger.
    let program = siblings.first().ok_or("error: classify-cli has no path")?;
    check(program)?;
    let mut command = Command::new(program);
    command.args(arguments);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        // The engines are found by the name under which `classify` is started.
        let is_program = |link: &&PathBuf| link.canonicalize().ok() == program.canonicalize().ok();
        if let Some(name) = siblings.iter().rev().find(is_program) {
            command.arg0(name);
        }
        // Only a failure returns.
        Err(format!("error: {}: {}", program.display(), command.exec()))
    }
    #[cfg(not(unix))]
    {
        let status = command.status();
        let status = status.map_err(|error| format!("error: {}: {error}", program.display()))?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(ExitCode::from(code.unwrap_or(FAILED)))
    }
}

fn sibling(program: &Path) -> Option<PathBuf> {
    Some(program.parent()?.join(format!("classify{EXE_SUFFIX}")))
}

/// Rejects the script of another package: both are called `classify`, and the last one that is installed stays.
fn check(program: &Path) -> Result<(), String> {
    let mut start = [0; 2];
    let read = model_file::open_regular(program).and_then(|mut file| file.read_exact(&mut start));
    let path = program.display();
    let (error, hint) = match read {
        Ok(()) if start != *b"#!" => return Ok(()),
        Ok(()) => (
            format!("{path} is a script of another Python package, such as `classify`"),
            "uninstall that package, then install the wheel of this one again: `pip install --force-reinstall --no-deps WHEEL`",
        ),
        Err(error) => (
            format!("{path}: {error}"),
            "install the wheel again: `pip install --force-reinstall --no-deps WHEEL`",
        ),
    };
    Err(format!("error: {error}\nhint: {hint}"))
}
