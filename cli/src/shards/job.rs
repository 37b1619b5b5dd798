//! A job: the work that shards share, and the files in their directory. `docs/scale.md` describes them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use evaluation::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::args::{Given, MOST_SHARDS, Shard};
use crate::destination::Output;
use crate::errors::Hinted;
use crate::input::path_from_bytes;

/// The flag that names the directory.
pub const FLAG: &str = "--out-dir";
/// The file of the job, which the first shard writes.
pub const JOB: &str = "job.json";
const JOB_KIND: &str = "classify-job";
const PART_KIND: &str = "classify-part";
/// The largest job or manifest: an argument may be long.
const MOST_BYTES: u64 = 16 << 20;

/// Everything that decides the content of the parts. Parts of different jobs are never mixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub schema_version: u32,
    pub kind: String,
    /// `classify`, `compare` or `evaluate`.
    pub command: String,
    pub classify_version: String,
    /// The number of shards.
    pub shards: u32,
    /// The number of entries of the inputs.
    pub entries: u64,
    /// The digest of the paths of the entries.
    pub entries_sha256: Digest,
    /// The flags that decide the answers, with their values.
    pub options: BTreeMap<String, Vec<String>>,
    /// The digests of the models by their paths, and of the other files that decide the answers.
    pub files: BTreeMap<String, Digest>,
}

/// The job in its file, with what may differ between shards.
#[derive(Debug, Serialize, Deserialize)]
struct JobFile {
    #[serde(flatten)]
    job: Job,
    /// The arguments of the shard that wrote the file.
    arguments: Vec<AnyText>,
    /// The working directory of that shard: paths in `arguments` and `truth` start from it.
    directory: AnyText,
    /// The file with the ground truth of `evaluate`. The arguments need not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    truth: Option<AnyText>,
}

/// An argument or a path, exactly: names of files need not be UTF-8.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum AnyText {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&OsStr> for AnyText {
    fn from(text: &OsStr) -> Self {
        match text.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None if cfg!(unix) => Self::Bytes(text.as_encoded_bytes().to_vec()),
            // Other systems' names are not bytes.
            None => Self::Text(text.to_string_lossy().into_owned()),
        }
    }
}

impl AnyText {
    fn into_path(self) -> anyhow::Result<PathBuf> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Bytes(bytes) => path_from_bytes(&bytes),
        }
    }
}

/// The files of a part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub schema_version: u32,
    pub kind: String,
    /// The digest of the job.
    pub job_sha256: Digest,
    pub shard: u32,
    pub shards: u32,
    /// The place of the first entry among those of all shards.
    pub first_entry: u64,
    pub entries: u64,
    /// The images of the entries: a directory has several.
    pub images: u64,
    /// The images without an answer. Their rows hold the errors.
    pub failed: u64,
    /// The size of the part.
    pub bytes: u64,
    pub sha256: Digest,
    /// The engines that answered.
    pub runs: Vec<PartRun>,
}

/// The state of a part.
#[derive(Debug)]
pub enum PartState {
    Complete(Manifest),
    /// There is no part of the size in its manifest.
    Incomplete {
        /// The reason why the manifest cannot be read, if there is a manifest.
        damage: Option<String>,
    },
}

/// An engine as it ran. Parts of other engines are not merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRun {
    pub backend: String,
    pub engine_version: String,
    pub device: String,
    pub precision: String,
    /// The model with its version, if it is on servers: they may have another version for each shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl PartRun {
    pub fn new(info: &backend_api::BackendInfo) -> Self {
        Self {
            backend: info.backend.clone(),
            engine_version: info.engine_version.clone(),
            device: info.executed_devices(),
            precision: info.precision.clone(),
            model: info.model_name.clone(),
        }
    }

    fn description(&self) -> String {
        let Self {
            backend,
            engine_version,
            device,
            precision,
            model,
        } = self;
        let model = model
            .as_ref()
            .map_or_else(String::new, |model| format!(" with the model {model}"));
        format!("{backend} {engine_version} on {device} in {precision}{model}")
    }
}

/// Describes engines for messages.
pub fn description(runs: &[PartRun]) -> String {
    let runs: Vec<String> = runs.iter().map(PartRun::description).collect();
    runs.join(", ")
}

impl Job {
    pub fn new(command: &str, shards: u32) -> Self {
        Self {
            schema_version: 1,
            kind: JOB_KIND.to_owned(),
            command: command.to_owned(),
            classify_version: env!("CARGO_PKG_VERSION").to_owned(),
            shards,
            entries: 0,
            entries_sha256: Digest::of(b""),
            options: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    /// Returns the digest that the manifests of its parts have.
    pub fn digest(&self) -> Digest {
        let text = serde_json::to_vec(self).expect("strings and numbers");
        Digest::of(&text)
    }

    /// Returns the places of a shard's entries.
    pub fn range(&self, index: u32) -> std::ops::Range<u64> {
        let count = self.shards;
        Shard { index, count }.range(self.entries)
    }

    /// Returns the ending of parts: that of the rows, or of the answers for `compare` and `evaluate`.
    pub fn ending(&self) -> &'static str {
        let format = self.options.get("format").and_then(|values| values.first());
        match (&*self.command, format.map(String::as_str)) {
            ("classify", Some("csv")) => "csv",
            ("classify", Some("parquet")) => "parquet",
            ("classify", _) => "ndjson",
            _ => "answers",
        }
    }

    /// Returns the name of a part: `part-00017-of-00064.ndjson`.
    pub fn part_name(&self, index: u32) -> String {
        format!("part-{index:05}-of-{:05}.{}", self.shards, self.ending())
    }

    /// Returns the name of a part's manifest.
    pub fn manifest_name(&self, index: u32) -> String {
        format!("part-{index:05}-of-{:05}.manifest.json", self.shards)
    }

    /// Describes the first difference to `other`, the job of a directory.
    fn difference(&self, other: &Self) -> Option<String> {
        let differs = |what: &str, own: &str, there: &str| {
            (own != there).then(|| format!("{what} is {there} there, but {own} here"))
        };
        let number =
            |what: &str, own: u64, there: u64| differs(what, &own.to_string(), &there.to_string());
        differs("the command", &self.command, &other.command)
            .or_else(|| {
                let (own, there) = (&self.classify_version, &other.classify_version);
                differs("the version of classify", own, there)
            })
            .or_else(|| {
                let (own, there) = (u64::from(self.shards), u64::from(other.shards));
                number("the number of shards", own, there)
            })
            .or_else(|| number("the number of inputs", self.entries, other.entries))
            .or_else(|| {
                (self.entries_sha256 != other.entries_sha256)
                    .then(|| "the list of inputs is another one".to_owned())
            })
            .or_else(|| {
                let text = |values: Option<&Vec<String>>| {
                    values.map_or_else(|| "not given".to_owned(), |values| values.join(" "))
                };
                let keys = self.options.keys().chain(other.options.keys());
                keys.into_iter().find_map(|key| {
                    let (own, there) = (self.options.get(key), other.options.get(key));
                    differs(&format!("`{key}`"), &text(own), &text(there))
                })
            })
            .or_else(|| {
                let mut keys = self.files.keys().chain(other.files.keys());
                let changed = keys.find(|key| self.files.get(*key) != other.files.get(*key))?;
                Some(format!("{changed} is another file or has changed"))
            })
            .or_else(|| (self != other).then(|| "its job differs".to_owned()))
    }
}

/// The directory of a job.
#[derive(Debug, Clone)]
pub struct JobDirectory {
    pub path: PathBuf,
    pub job: Job,
    sha256: Digest,
}

impl JobDirectory {
    /// Returns the outputs of a shard: its part and the manifest, and the job if it is not there.
    pub fn outputs(&self, index: u32) -> Vec<PathBuf> {
        let mut outputs = self.files(index).to_vec();
        if !self.has_job() {
            outputs.push(self.path.join(JOB));
        }
        outputs
    }

    pub fn has_job(&self) -> bool {
        self.path.join(JOB).exists()
    }

    /// Joins the job of the directory, or begins it. The directory is made if there is none.
    ///
    /// # Errors
    ///
    /// If the directory has the parts of another job.
    pub fn join(&self, given: &Given) -> anyhow::Result<()> {
        let Self { path, job, .. } = self;
        let what = || format!("cannot write to the directory {}", path.display());
        if fs::metadata(path).is_ok_and(|there| !there.is_dir()) {
            let error = format!("{FLAG} {} is a file, not a directory", path.display());
            return Err(Hinted::new(error, "name a directory for the parts").into());
        }
        fs::create_dir_all(path).with_context(what)?;
        let file = path.join(JOB);
        if !self.has_job() {
            let directory = std::env::current_dir().unwrap_or_default();
            let content = JobFile {
                job: job.clone(),
                arguments: given.arguments.iter().map(|it| (&**it).into()).collect(),
                directory: directory.as_os_str().into(),
                truth: given.truth.as_ref().map(|it| it.as_os_str().into()),
            };
            let mut text = serde_json::to_vec_pretty(&content)?;
            text.push(b'\n');
            let mut output = Output::open(FLAG, Some(&file))?;
            output.write_all(&text).with_context(what)?;
            // Another shard may have been first.
            output.finish_unless_there()?;
        }
        let there = read_job(&file)?.job;
        if let Some(difference) = job.difference(&there) {
            let error = format!(
                "{} has the parts of another job: {difference}",
                path.display()
            );
            let hint = "name another directory for --out-dir, or remove this one";
            return Err(Hinted::new(error, hint).into());
        }
        Ok(())
    }

    /// Opens the directory of a job. Returns the arguments of one of its shards, too.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn open(path: &Path) -> anyhow::Result<(Self, Recorded)> {
        let file = path.join(JOB);
        if path.is_file() {
            let error = format!("{} is a file, not a directory", path.display());
            return Err(Hinted::new(error, "name the --out-dir of the shards").into());
        }
        if !file.is_file() {
            let error = format!(
                "{} has no parts of shards: there is no {JOB}",
                path.display()
            );
            return Err(Hinted::new(error, "name the --out-dir of the shards").into());
        }
        let JobFile {
            job,
            arguments,
            directory,
            truth,
        } = read_job(&file)?;
        let version = env!("CARGO_PKG_VERSION");
        if job.classify_version != version {
            let error = format!(
                "the parts are of classify {}, but this is {version}",
                job.classify_version
            );
            return Err(Hinted::new(error, "merge them with the version that wrote them").into());
        }
        let arguments = arguments.into_iter().map(AnyText::into_path);
        let recorded = Recorded {
            arguments: arguments
                .map(|argument| Ok(argument?.into_os_string()))
                .collect::<anyhow::Result<_>>()?,
            directory: directory.into_path()?,
            truth: truth.map(AnyText::into_path).transpose()?,
        };
        Ok((Self::new(path, job), recorded))
    }

    pub fn new(path: &Path, job: Job) -> Self {
        Self {
            path: path.to_owned(),
            sha256: job.digest(),
            job,
        }
    }

    /// Waits until no other process completes a part here, and keeps them waiting until the result is dropped. `None`
    /// where files cannot be locked.
    ///
    /// # Errors
    ///
    /// If the job cannot be opened or locked.
    pub fn lock(&self) -> anyhow::Result<Option<fs::File>> {
        // A lock of Windows would keep others from reading the job.
        if cfg!(not(unix)) {
            return Ok(None);
        }
        let path = self.path.join(JOB);
        let what = || format!("cannot lock {}", path.display());
        let file = model_file::open_regular(&path).with_context(what)?;
        loop {
            match file.lock() {
                Ok(()) => return Ok(Some(file)),
                // By a signal.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(None),
                Err(error) => return Err(error).with_context(what),
            }
        }
    }

    /// Returns the path of a part.
    pub fn part(&self, index: u32) -> PathBuf {
        self.path.join(self.job.part_name(index))
    }

    /// Returns the paths of a part and of its manifest.
    pub fn files(&self, index: u32) -> [PathBuf; 2] {
        [self.part(index), self.manifest(index)]
    }

    fn manifest(&self, index: u32) -> PathBuf {
        self.path.join(self.job.manifest_name(index))
    }

    /// Returns the state of a part.
    ///
    /// # Errors
    ///
    /// If its manifest belongs to another job, or the system does not let it be read.
    pub fn state(&self, index: u32) -> anyhow::Result<PartState> {
        let path = self.manifest(index);
        let what = || format!("cannot use {}", path.display());
        let Some(text) = read(&path).with_context(what)? else {
            return Ok(PartState::Incomplete { damage: None });
        };
        // A manifest that was cut short completes nothing. Its shard would be blocked by an error.
        let manifest: Manifest = match parse(&text) {
            Ok(manifest) => manifest,
            Err(error) => {
                let damage = Some(format!("{error:#}"));
                return Ok(PartState::Incomplete { damage });
            }
        };
        let range = self.job.range(index);
        let is_own = manifest.kind == PART_KIND
            && manifest.schema_version == 1
            && manifest.job_sha256 == self.sha256
            && (manifest.shard, manifest.shards) == (index, self.job.shards)
            && manifest.first_entry == range.start
            && manifest.entries == range.end - range.start;
        if !is_own {
            let error = format!("{} belongs to another job", path.display());
            return Err(Hinted::new(error, "remove it, and run its shard again").into());
        }
        // A part that was removed is written again. A copy that was cut short is another size.
        let length = fs::metadata(self.part(index)).map(|part| part.len());
        Ok(if length.is_ok_and(|length| length == manifest.bytes) {
            PartState::Complete(manifest)
        } else {
            PartState::Incomplete { damage: None }
        })
    }

    /// Writes the manifest of a part, which completes it. The part has its name already.
    pub fn complete(
        &self,
        index: u32,
        images: u64,
        failed: u64,
        bytes: u64,
        sha256: Digest,
        runs: Vec<PartRun>,
    ) -> anyhow::Result<()> {
        let range = self.job.range(index);
        let manifest = Manifest {
            schema_version: 1,
            kind: PART_KIND.to_owned(),
            job_sha256: self.sha256,
            shard: index,
            shards: self.job.shards,
            first_entry: range.start,
            entries: range.end - range.start,
            images,
            failed,
            bytes,
            sha256,
            runs,
        };
        let path = self.manifest(index);
        let mut text = serde_json::to_vec_pretty(&manifest)?;
        text.push(b'\n');
        // The name of the part first: without it a manifest means nothing.
        let what = || format!("cannot write {}", path.display());
        sync_directory(&self.path).with_context(what)?;
        let mut output = Output::open(FLAG, Some(&path))?;
        output.write_all(&text).with_context(what)?;
        output.finish()?;
        sync_directory(&self.path).with_context(what)
    }

    /// Returns the names of parts in the directory that are not of this job.
    pub fn foreign(&self) -> anyhow::Result<Vec<String>> {
        let what = || format!("cannot read the directory {}", self.path.display());
        let mut foreign = Vec::new();
        for entry in fs::read_dir(&self.path).with_context(what)? {
            let name = entry.with_context(what)?.file_name();
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("part-") && !self.is_own(&name) {
                foreign.push(name);
            }
        }
        foreign.sort();
        Ok(foreign)
    }

    fn is_own(&self, name: &str) -> bool {
        let index = name
            .get("part-".len()..)
            .and_then(|rest| rest.split('-').next());
        index
            .and_then(|index| index.parse().ok())
            .filter(|index| *index < self.job.shards)
            .is_some_and(|index| {
                [self.job.part_name(index), self.job.manifest_name(index)]
                    .contains(&name.to_owned())
            })
    }
}

/// The command line of a shard.
#[derive(Debug)]
pub struct Recorded {
    pub arguments: Vec<OsString>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Its file with the ground truth.
    pub truth: Option<PathBuf>,
}

impl Recorded {
    /// Returns the path of the file with the ground truth from any working directory.
    pub fn truth_file(&self) -> Option<PathBuf> {
        Some(self.directory.join(self.truth.as_ref()?))
    }
}

fn read_job(path: &Path) -> anyhow::Result<JobFile> {
    let read = || -> anyhow::Result<JobFile> {
        let text = read(path)?.context("it has just been removed")?;
        let content: JobFile = parse(&text)?;
        if content.job.kind != JOB_KIND {
            anyhow::bail!("it is something else");
        }
        let shards = content.job.shards;
        if !(1..=MOST_SHARDS).contains(&shards) {
            let error = format!("it has {shards} shards, not 1 to {MOST_SHARDS}");
            let hint = "the file is damaged: run the shards again in another directory";
            return Err(Hinted::new(error, hint).into());
        }
        Ok(content)
    };
    read().with_context(|| format!("{} is not the job of shards", path.display()))
}

/// Reads a file; `None` if there is none.
fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    if let Err(error) = fs::symlink_metadata(path)
        && error.kind() == io::ErrorKind::NotFound
    {
        return Ok(None);
    }
    Ok(Some(image_classification::read_file(path, MOST_BYTES)?))
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> anyhow::Result<T> {
    Ok(serde_json::from_slice(text)?)
}

/// Makes the names in a directory last, where the system can.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        fs::File::options().read(true).open(path)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_as_many_shards_as_the_command_line_takes() {
        let directory = tempfile::tempdir().unwrap();
        let read = |shards: u32| {
            let content = JobFile {
                job: Job::new("classify", shards),
                arguments: Vec::new(),
                directory: OsStr::new("/").into(),
                truth: None,
            };
            let text = serde_json::to_vec(&content).unwrap();
            fs::write(directory.path().join(JOB), text).unwrap();
            JobDirectory::open(directory.path()).map(|(directory, _)| directory.job.shards)
        };
        for shards in [1, MOST_SHARDS] {
            assert_eq!(read(shards).unwrap(), shards);
        }
        for shards in [0, MOST_SHARDS + 1, u32::MAX] {
            let error = format!("{:#}", read(shards).unwrap_err());
            let expected = format!("it has {shards} shards, not 1 to 100000");
            assert!(error.contains(&expected), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_job_that_is_gone_cannot_be_locked() {
        let job = tempfile::tempdir().unwrap();
        let directory = JobDirectory::new(job.path(), Job::new("classify", 1));
        let error = format!("{:#}", directory.lock().unwrap_err());
        assert!(
            error.starts_with("cannot lock ") && error.contains(JOB),
            "{error}"
        );
        fs::write(job.path().join(JOB), "{}").unwrap();
        assert!(directory.lock().unwrap().is_some());
    }
}
