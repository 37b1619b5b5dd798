//! `cargo setup`: brings everything that the engines, the tests and the demo need into one directory.
//!
//! The work is a list of steps. Each has a stamp with a fingerprint of its inputs. It makes its files under another name,
//! renames them and writes its stamp last: a kill at any point leaves nothing that a later run mistakes for a finished file.

mod extras;
mod packages;
mod stamps;
mod steps;

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::failure::{Failure, on};
use crate::files::{create_directory, write_whole};
use crate::pip::check_from;
use stamps::Setup;

pub use stamps::Scope;

pub use extras::{CHECKS, Extra, FLEET, OLDEST, check_program, checks};
pub use packages::Packages;

/// The content of the file that marks a set-up directory.
const MARKED: &str = "A set-up folder of classify.\n";

/// Returns the set-up directory: `CLASSIFY_HOME`, which cargo sets for everything that it runs, else `assets` in the workspace.
pub fn home() -> Result<PathBuf> {
    match env::var_os("CLASSIFY_HOME").filter(|value| !value.is_empty()) {
        Some(home) => std::path::absolute(Path::new(&home)).context("CLASSIFY_HOME is not a path"),
        None => Ok(workspace().join("assets")),
    }
}

/// Returns the root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// Sets up what is missing, `extras` included. With `from`, package files come from that directory instead of the network.
pub fn run(from: Option<&Path>, extras: &[Extra]) -> Result<()> {
    run_scope(Scope::Full, from, extras)
}

/// Sets up what the demo needs, unless everything is there.
pub fn run_for_demo() -> Result<()> {
    let scope = if is_complete(Scope::Full)? {
        Scope::Full
    } else {
        Scope::Demo
    };
    run_scope(scope, None, &[])
}

/// Returns whether the demo has all of its files.
pub fn is_ready_for_demo() -> Result<bool> {
    Ok(is_complete(Scope::Full)? || is_complete(Scope::Demo)?)
}

fn is_complete(scope: Scope) -> Result<bool> {
    new_setup(scope, None)?.is_complete()
}

fn new_setup(scope: Scope, from: Option<&Path>) -> Result<Setup<'_>> {
    Ok(Setup {
        scope,
        packages: Packages::read(scope)?,
        chosen: env::var("CLASSIFY_PYTHON")
            .ok()
            .filter(|name| !name.is_empty()),
        home: home()?,
        from,
    })
}

fn run_scope(scope: Scope, from: Option<&Path>, extras: &[Extra]) -> Result<()> {
    if let Some(from) = from {
        check_from(from)?;
    }
    let setup = new_setup(scope, from)?;
    let done = format!("set-up is complete: {}", setup.home.display());
    // Looking needs no lock, and so no writable directory: stamps are written last.
    let is_complete = setup.is_complete()?;
    if is_complete {
        for step in setup.titles() {
            eprintln!("{step} ... up to date");
        }
    }
    let mut missing = Vec::new();
    for extra in extras {
        if !(is_complete && setup.has(*extra)?) {
            missing.push(*extra);
        }
    }
    if !is_complete || !missing.is_empty() {
        claim(&setup.home)?;
        let lock = lock(&setup.home)?;
        if !is_complete {
            setup.run_steps(&lock)?;
        }
        for extra in missing {
            setup.bring(extra, &lock)?;
        }
    }
    eprintln!("{done}");
    Ok(())
}

/// Marks `home` as a set-up directory, in which files of certain names are removed and replaced. A directory in which
/// somebody else keeps files is none.
fn claim(home: &Path) -> Result<()> {
    create_directory(home)?;
    let stamps = home.join("stamps");
    let marker = stamps.join(".set-up");
    let is_ours = |entry: &fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        text == MARKED || text.starts_with("fingerprint ")
    };
    if fs::read_dir(&stamps)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| is_ours(&entry))
    {
        return Ok(());
    }
    for entry in fs::read_dir(home).map_err(on("list", home))? {
        let name = entry.map_err(on("list", home))?.file_name();
        // Downloads may be brought from another machine.
        if ![".lock", "downloads"].iter().any(|own| name == *own) {
            let message = format!(
                "{} is not a set-up directory: it contains {}",
                home.display(),
                name.display()
            );
            let hint = "let CLASSIFY_HOME name a directory that is empty or not there yet";
            return Err(Failure::new(message, hint).into());
        }
    }
    write_whole(&marker, MARKED.as_bytes())
}

/// Locks the set-up: one runs at a time. The system drops the lock when the process ends, however it ends.
fn lock(home: &Path) -> Result<File> {
    let path = home.join(".lock");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(on("write", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!(
                "another set-up, or what a killed one left running, works on {}; waiting for it to end",
                home.display()
            );
            file.lock().map_err(on("lock", &path))?;
        }
        Err(TryLockError::Error(error)) => return Err(on("lock", &path)(error)),
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::list_files;

    #[test]
    fn a_directory_with_files_of_the_user_is_no_set_up_directory() {
        for foreign in [
            "python/my-project.py",
            "notes.txt",
            "stamps/penny-black.txt",
        ] {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join(foreign);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "years of work").unwrap();
            let error = claim(home.path()).unwrap_err();
            assert!(
                error.to_string().contains("is not a set-up directory"),
                "{error}"
            );
            assert_eq!(list_files(home.path(), &|_| true).unwrap(), [path]);
        }
        for own in [None, Some("downloads/alibi.whl"), Some(".lock")] {
            let home = tempfile::tempdir().unwrap();
            if let Some(own) = own {
                write_whole(&home.path().join(own), b"").unwrap();
            }
            claim(home.path()).unwrap();
            // A set-up that was interrupted goes on, and the user may add files.
            write_whole(&home.path().join("python/pyvenv.cfg"), b"").unwrap();
            claim(home.path()).unwrap();
        }
        // One that was made before there was a marker.
        let home = tempfile::tempdir().unwrap();
        write_whole(&home.path().join("stamps/photos"), b"fingerprint 1").unwrap();
        write_whole(&home.path().join("photos/a.jpg"), b"").unwrap();
        claim(home.path()).unwrap();
    }

    #[test]
    fn a_second_set_up_waits_for_the_first() {
        let home = tempfile::tempdir().unwrap();
        let first = lock(home.path()).unwrap();
        let path = home.path().to_owned();
        let (sender, receiver) = std::sync::mpsc::channel();
        let second = std::thread::spawn(move || {
            let lock = lock(&path).unwrap();
            sender.send(()).unwrap();
            drop(lock);
        });
        assert!(
            receiver
                .recv_timeout(std::time::Duration::from_millis(200))
                .is_err(),
            "the second started during the first"
        );
        drop(first);
        receiver
            .recv_timeout(std::time::Duration::from_secs(20))
            .unwrap();
        second.join().unwrap();
    }
}
