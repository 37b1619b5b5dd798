//! Destinations of results: stdout, or a file that appears under its name only when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use crate::errors::Hinted;
use crate::interrupt::{self, Temporary};
use evaluation::Digest;

/// The most symbolic links that are followed to a file that does not exist yet, as Linux does.
const MOST_LINKS: usize = 40;
/// The start of the names of temporary files.
const TEMPORARY: &str = ".classify-";
/// The temporary files of an output are numbered from 1. This many numbers after the own one are checked for stale
/// files.
const MORE_STALE: u32 = 16;

/// A destination of results. A file appears only after [`finish`](Self::finish).
#[derive(Debug)]
pub enum Output {
    Stdout(BufWriter<io::Stdout>),
    File(Box<OutputFile>),
}

/// A file under a temporary name next to its target.
#[derive(Debug)]
pub struct OutputFile {
    file: BufWriter<NamedTempFile>,
    /// The path after all symbolic links: links stay, and their target is written.
    target: PathBuf,
    /// This field is dropped last: until then, a signal that ends the process removes the file.
    _temporary: Temporary,
}

impl Output {
    /// Opens the destination before work starts, so that a missing or read-only directory is an error at once. `flag`
    /// is the flag that names `path`, for hints.
    pub fn open(flag: &str, path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Stdout(BufWriter::new(io::stdout())));
        };
        let what = || format!("cannot write {}", path.display());
        let target = target(flag, path).with_context(what)?;
        let permissions = existing(flag, &target).with_context(what)?;
        let (file, temporary) = temporary(&target, permissions).with_context(what)?;
        Ok(Self::File(Box::new(OutputFile {
            file: BufWriter::new(file),
            target,
            _temporary: temporary,
        })))
    }

    /// Passes the content that a file has so far to `read`.
    pub fn read_back<T>(
        &mut self,
        read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
    ) -> anyhow::Result<T> {
        match self {
            Self::Stdout(_) => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
            Self::File(output) => {
                // The target does not exist yet.
                let path = output.file.get_ref().path().to_owned();
                let what = || format!("cannot read {}", path.display());
                output.file.flush().with_context(what)?;
                let file = output.file.get_mut();
                file.rewind().with_context(what)?;
                let result = read(file).with_context(what);
                file.seek(SeekFrom::End(0)).with_context(what)?;
                result
            }
        }
    }

    /// Gives a file its name.
    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(mut stdout) => Ok(stdout.flush()?),
            Self::File(output) => {
                let OutputFile { file, target, .. } = *output;
                let what = || format!("cannot write {}", target.display());
                let file = complete(file).with_context(what)?;
                file.persist(&target)
                    .map_err(|error| error.error)
                    .with_context(what)?;
                Ok(())
            }
        }
    }

    /// Gives a file its name. If there is a file of that name by now, it stays.
    pub fn finish_unless_there(self) -> anyhow::Result<()> {
        let Self::File(output) = self else {
            return self.finish();
        };
        let OutputFile { file, target, .. } = *output;
        let what = || format!("cannot write {}", target.display());
        let file = complete(file).with_context(what)?;
        match file.persist_noclobber(&target) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                Err(error.error).with_context(what)
            }
            _ => Ok(()),
        }
    }

    /// Gives an incomplete file its name with the ending `.partial`, or `.partial-2` and so on if that exists. Returns
    /// the new path.
    pub fn finish_part(self) -> anyhow::Result<Option<PathBuf>> {
        let Self::File(output) = self else {
            return Ok(None);
        };
        let OutputFile { file, target, .. } = *output;
        let mut file =
            complete(file).with_context(|| format!("cannot write {}", target.display()))?;
        let mut number = 1;
        loop {
            let mut part = target.clone().into_os_string();
            part.push(".partial");
            if number > 1 {
                part.push(format!("-{number}"));
            }
            let part = PathBuf::from(part);
            match file.persist_noclobber(&part) {
                Ok(_) => return Ok(Some(part)),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                    file = error.file;
                }
                Err(error) => {
                    let what = format!("cannot write {}", part.display());
                    return Err(anyhow::Error::new(error.error).context(what));
                }
            }
            number += 1;
        }
    }
}

/// Prints a report to stdout. If the reader of stdout is gone, that is not an error: reports in files are written before,
/// and the exit code is that of the verdict.
pub fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_ref())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to stdout")
        }
        _ => Ok(()),
    }
}

/// Adds stdout to an error. The kind of the error stays the same.
fn of_stdout(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write to stdout: {error}"))
}

/// Adds the target's name to an error, because the system's error has the temporary name.
fn of_file(target: &Path, error: &io::Error) -> io::Error {
    let message = format!("cannot write {}: {error}", target.display());
    io::Error::new(error.kind(), message)
}

/// Returns the file that a path leads to, with an absolute and canonical parent. It need not exist, and neither need
/// the target of a symbolic link. `flag` names the path, for hints.
pub fn target(flag: &str, path: &Path) -> anyhow::Result<PathBuf> {
    if let Ok(real) = path.canonicalize() {
        return Ok(real);
    }
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let directory = match path.parent() {
            Some(directory) if directory != Path::new("") => directory,
            _ => Path::new("."),
        };
        if let Ok(link) = fs::read_link(&path) {
            path = directory.join(link);
            continue;
        }
        let names_a_file = !path.to_string_lossy().ends_with(std::path::is_separator);
        let (Some(name), true) = (path.file_name(), names_a_file) else {
            return Err(not_a_file(flag));
        };
        if !directory.is_dir() {
            let error = format!("there is no directory {}", directory.display());
            return Err(Hinted::new(error, "create it first").into());
        }
        return Ok(directory.canonicalize()?.join(name));
    }
    let error = "symbolic link loop";
    Err(Hinted::new(error, "name the file itself").into())
}

fn not_a_file(flag: &str) -> anyhow::Error {
    Hinted::new(
        "it is not a regular file",
        format!("name a file, or leave {flag} out"),
    )
    .into()
}

/// Returns the permissions of a file that will be replaced; `None` if there is none.
fn existing(flag: &str, target: &Path) -> anyhow::Result<Option<fs::Permissions>> {
    let Ok(metadata) = fs::metadata(target) else {
        return Ok(None);
    };
    if !metadata.is_file() {
        return Err(not_a_file(flag));
    }
    // A rename would replace a protected file as well.
    File::options().write(true).open(target)?;
    Ok(Some(metadata.permissions()))
}

/// Returns the paths of the temporary files of `target` that killed processes may have left.
pub fn temporary_names(target: &Path) -> impl Iterator<Item = PathBuf> {
    let directory = target.parent().unwrap_or(Path::new("/")).to_owned();
    let name = temporary_name(target);
    (1..=1 + MORE_STALE).map(move |number| directory.join(name(number)))
}

/// Returns the names of the temporary files of `target` by their numbers.
fn temporary_name(target: &Path) -> impl Fn(u32) -> String + use<> {
    let name = target.file_name().unwrap_or_default();
    let hash = Digest::of(name.as_encoded_bytes()).to_string();
    move |number| format!("{TEMPORARY}{}-{number}.tmp", &hash[..16])
}

/// Returns whether a path may have the name of a temporary file.
pub fn is_temporary_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
}

/// Returns a new file next to `target`, which this process holds locked. Removes the temporary files of `target` that
/// killed processes have left behind.
fn temporary(
    target: &Path,
    permissions: Option<fs::Permissions>,
) -> io::Result<(NamedTempFile, Temporary)> {
    let directory = target.parent().unwrap_or(Path::new("/"));
    let name = temporary_name(target);
    let mut number = 0;
    let (file, temporary) = loop {
        number += 1;
        let name = name(number);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&name).rand_bytes(0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // A new file has the usual mode. A file that replaces another one is never readable for more users than
            // that one.
            let mode = permissions.as_ref().map_or(0o666, |old| old.mode() & 0o777);
            builder.permissions(fs::Permissions::from_mode(mode));
        }
        // A signal between these two would leave the file behind.
        let created = interrupt::create_temporary(|| match builder.tempfile_in(directory) {
            Ok(file) if is_held(&file) => Ok(Some((file.path().to_owned(), file))),
            // Another process has taken the file for a stale one, and removes it.
            Ok(mut file) => {
                file.disable_cleanup(true);
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        })?;
        if let Some(created) = created {
            break created;
        }
    };
    #[cfg(unix)]
    if let Some(permissions) = permissions {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::Permissions::from_mode(permissions.mode() & 0o777);
        file.as_file().set_permissions(mode)?;
    }
    #[cfg(not(unix))]
    let _ = permissions;
    for other in (1..=number + MORE_STALE).filter(|other| *other != number) {
        remove_if_stale(&directory.join(name(other)), file.as_file());
    }
    Ok((file, temporary))
}

/// Locks a file that was created. Returns false if its name belongs to another file by now.
fn is_held(file: &NamedTempFile) -> bool {
    match file.as_file().try_lock() {
        Err(fs::TryLockError::WouldBlock) => false,
        // If files cannot be locked, no process takes a file for a stale one.
        _ => cfg!(not(unix)) || is_at(file.path(), file.as_file()),
    }
}

/// Removes a temporary file of the same user that no process holds locked.
fn remove_if_stale(path: &Path, own: &File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let Ok(metadata) = fs::symlink_metadata(path) else {
            return;
        };
        let is_own = own.metadata().is_ok_and(|own| own.uid() == metadata.uid());
        if !metadata.is_file() || !is_own {
            return;
        }
        // The lock is held until `file` is dropped, after the name is removed.
        if let Ok(file) = model_file::open_regular(path)
            && file.try_lock().is_ok()
            && is_at(path, &file)
        {
            let _ = fs::remove_file(path);
        }
    }
    #[cfg(not(unix))]
    let _ = (path, own);
}

/// Returns whether `path` still names the open `file`.
#[cfg(unix)]
fn is_at(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let found = fs::symlink_metadata(path).map(identity);
    found.is_ok_and(|found| file.metadata().map(identity).is_ok_and(|own| own == found))
}

#[cfg(not(unix))]
fn is_at(_: &Path, _: &File) -> bool {
    true
}

fn complete(file: BufWriter<NamedTempFile>) -> io::Result<NamedTempFile> {
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_all()?;
    Ok(file)
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes).map_err(|error| of_stdout(&error)),
            Self::File(output) => {
                let written = output.file.write(bytes);
                written.map_err(|error| of_file(&output.target, &error))
            }
        }
    }

    /// Flushes stdout, so that the reader of a pipe sees each result at once. A file is written when its buffer is
    /// full.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush().map_err(|error| of_stdout(&error)),
            Self::File(_) => Ok(()),
        }
    }
}
