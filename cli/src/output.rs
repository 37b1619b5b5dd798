//! Where results go: stdout, or a file that appears under its name only when it is complete.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use crate::interrupt;
use crate::messages::Hinted;

/// A destination of results. Without [`finish`](Self::finish) a file does not appear.
#[derive(Debug)]
pub enum Output {
    Stdout(BufWriter<io::Stdout>),
    File {
        file: BufWriter<NamedTempFile>,
        path: PathBuf,
    },
}

impl Output {
    /// Opens it, before work starts: a folder that is not there or not writable is found out now.
    ///
    /// A file that is one of `read` is refused: it would be replaced by the results.
    pub fn open<'a>(
        path: Option<&Path>,
        read: impl IntoIterator<Item = &'a Path>,
    ) -> anyhow::Result<Self> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Stdout(BufWriter::new(io::stdout())));
        };
        let what = || format!("cannot write {}", path.display());
        if let Ok(real) = path.canonicalize()
            && let Some(same) = read
                .into_iter()
                .find(|other| other.canonicalize().is_ok_and(|other| other == real))
        {
            let error = Hinted::new(
                format!("it would replace {}, which is read", same.display()),
                "give it another name",
            );
            return Err(anyhow::Error::new(error).context(what()));
        }
        if let Ok(metadata) = fs::metadata(path)
            && !metadata.is_file()
        {
            let error = Hinted::new(
                "it is not a regular file",
                "name a file, or leave --output out",
            );
            return Err(anyhow::Error::new(error).context(what()));
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            let error = Hinted::new(
                format!("there is no folder {}", folder.display()),
                "create it first",
            );
            return Err(anyhow::Error::new(error).context(what()));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".classify-").suffix(".tmp");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // As any other program creates a file; the umask takes its part away.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder).with_context(what)?;
        interrupt::remove_when_stopped(file.path());
        Ok(Self::File {
            file: BufWriter::new(file),
            path: path.to_owned(),
        })
    }

    /// Gives a file its name.
    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(mut stdout) => Ok(stdout.flush()?),
            Self::File { file, path } => persist(file, &path),
        }
    }

    /// Gives a file that is not complete the name with `.partial` behind it, or `.partial-2` and so on where
    /// there is one already, and returns that.
    pub fn finish_part(self) -> anyhow::Result<Option<PathBuf>> {
        let Self::File { file, path } = self else {
            return Ok(None);
        };
        let mut number = 1;
        loop {
            let mut part = path.clone().into_os_string();
            part.push(".partial");
            if number > 1 {
                part.push(format!("-{number}"));
            }
            let part = PathBuf::from(part);
            if fs::symlink_metadata(&part).is_err() {
                persist(file, &part)?;
                return Ok(Some(part));
            }
            number += 1;
        }
    }
}

fn persist(file: BufWriter<NamedTempFile>, path: &Path) -> anyhow::Result<()> {
    let what = || format!("cannot write {}", path.display());
    let file = file
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .with_context(what)?;
    file.as_file().sync_all().with_context(what)?;
    file.persist(path)
        .map_err(|error| error.error)
        .with_context(what)?;
    Ok(())
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File { file, .. } => file.write(bytes),
        }
    }

    /// Whoever reads a pipe sees each result at once; a file is written when its buffer is full.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File { .. } => Ok(()),
        }
    }
}
