//! Records of finished steps. A step is finished when its stamp bears the fingerprint of its inputs and every file that
//! it made is there with its size; to find that out, no other program has to be started.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::failure::on;
use crate::files::{remove_file, write_whole};

/// The stamp of one step.
#[derive(Debug)]
pub struct Stamp {
    home: PathBuf,
    path: PathBuf,
    fingerprint: String,
}

impl Stamp {
    pub fn new(home: &Path, name: &str, fingerprint: String) -> Self {
        Self {
            home: home.to_owned(),
            path: home.join("stamps").join(name),
            fingerprint,
        }
    }

    /// Returns the files of the finished step; none if the step has to run.
    pub fn outputs(&self) -> Option<Vec<PathBuf>> {
        let text = fs::read_to_string(&self.path).ok()?;
        let mut lines = text.lines();
        if lines.next()?.strip_prefix("fingerprint ")? != self.fingerprint {
            return None;
        }
        let mut outputs = Vec::new();
        for line in lines {
            let (size, name) = line.split_once(' ')?;
            let path = self.home.join(name);
            if fs::metadata(&path).ok()?.len() != size.parse::<u64>().ok()? {
                return None;
            }
            outputs.push(path);
        }
        Some(outputs)
    }

    pub fn is_current(&self) -> bool {
        self.outputs().is_some()
    }

    /// Removes the stamp. Call this before the files of the step change.
    pub fn clear(&self) -> Result<()> {
        remove_file(&self.path)
    }

    /// Records that the step is finished and made these files.
    pub fn write(&self, outputs: &[PathBuf]) -> Result<()> {
        let mut text = format!("fingerprint {}\n", self.fingerprint);
        for path in outputs {
            let size = fs::metadata(path).map_err(on("find", path))?.len();
            let name = path
                .strip_prefix(&self.home)?
                .to_str()
                .context("file names of the set-up are plain")?;
            writeln!(text, "{size} {name}")?;
        }
        write_whole(&self.path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_holds_while_inputs_and_outputs_stay_as_they_were() {
        let home = tempfile::tempdir().unwrap();
        let output = home.path().join("a file with blanks");
        fs::write(&output, "12345").unwrap();
        let stamp = Stamp::new(home.path(), "step", "f1".to_owned());
        assert!(!stamp.is_current());
        stamp.write(std::slice::from_ref(&output)).unwrap();
        assert_eq!(stamp.outputs(), Some(vec![output.clone()]));

        assert!(
            !Stamp::new(home.path(), "step", "f2".to_owned()).is_current(),
            "another input"
        );
        fs::write(&output, "1234").unwrap();
        assert!(!stamp.is_current(), "a file of another size");
        fs::remove_file(&output).unwrap();
        assert!(!stamp.is_current(), "a missing file");
        fs::write(&output, "12345").unwrap();
        assert!(stamp.is_current());
        stamp.clear().unwrap();
        stamp.clear().unwrap();
        assert!(!stamp.is_current(), "a cleared stamp");
    }

    #[test]
    fn a_damaged_stamp_means_that_the_step_runs_again() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("stamps")).unwrap();
        for text in [
            "",
            "fingerprint",
            "fingerprint f\nx y\n",
            "fingerprint f\nnonsense",
            "\u{0}",
        ] {
            fs::write(home.path().join("stamps/step"), text).unwrap();
            assert!(
                !Stamp::new(home.path(), "step", "f".to_owned()).is_current(),
                "{text:?}"
            );
        }
    }
}
