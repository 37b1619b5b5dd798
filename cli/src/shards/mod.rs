//! Shards: several processes, each for a part of the inputs, and the files that they leave for `classify merge`.

mod entries;
mod job;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use evaluation::{Chain, Digest};
use image_classification::sources;

use crate::args::{PreprocessArgs, Shard, distinct_text};
use crate::destination::Output;
use crate::errors::Hinted;
use crate::files_read::FilesRead;
use crate::options::{EngineOptions, ShardOptions};
use crate::session::OpenRun;

pub use entries::{Entries, Images, ImagesState};
pub use job::{FLAG, JOB, Job, JobDirectory, Manifest, PartRun, PartState, Recorded, description};

/// A shard of a job.
#[derive(Debug)]
pub struct OpenShard {
    pub shard: Shard,
    pub directory: JobDirectory,
    /// The state of the search for its images.
    pub state: ImagesState,
}

impl OpenShard {
    /// Joins the job of `command`. Returns the images of the shard, too. `files` are those that decide the answers, with
    /// their digests; `read` are all that the command reads, except for the entries.
    ///
    /// # Errors
    ///
    /// If the directory has the parts of another job, an output would replace a file that is read, or the inputs cannot
    /// be listed.
    pub fn open(
        options: &ShardOptions,
        command: &str,
        entries: Entries,
        files: BTreeMap<String, Digest>,
        read: FilesRead<'_>,
    ) -> anyhow::Result<(Self, Images)> {
        let mut job = Job::new(command, options.shard.count);
        job.options.clone_from(&options.given.options);
        job.entries = entries.count;
        job.entries_sha256 = entries.digest;
        job.files = files;
        let index = options.shard.index;
        let range = job.range(index);
        let directory = JobDirectory::new(&options.directory, job);
        let check = |read: FilesRead<'_>| {
            let outputs = directory.outputs(index);
            let outputs: Vec<_> = outputs.iter().map(|output| (FLAG, &**output)).collect();
            read.with_entries(&entries).check(&outputs)
        };
        // Before the job is written. A shard that joins a job and is complete writes nothing.
        if directory.has_job() {
            directory.join(&options.given)?;
            if let PartState::Incomplete { .. } = directory.state(index)? {
                check(read)?;
            }
        } else {
            check(read)?;
            directory.join(&options.given)?;
        }
        let (images, state) = entries.into_images(range);
        let shard = Self {
            shard: options.shard,
            directory,
            state,
        };
        Ok((shard, images))
    }

    /// Returns the path of the part.
    pub fn part(&self) -> PathBuf {
        self.directory.part(self.shard.index)
    }

    /// Gives the part its name and completes it. It has all images of the shard, of which `failed` have no answer.
    ///
    /// Returns false if another process has completed the shard in the meantime, whose part stays.
    pub fn finish(
        &self,
        mut output: Output,
        images: u64,
        failed: u64,
        runs: Vec<PartRun>,
    ) -> anyhow::Result<bool> {
        let (bytes, sha256) = output.read_back(hash)?;
        let index = self.shard.index;
        // The part of one process with the manifest of another would not fit.
        let _alone = self.directory.lock()?;
        if let PartState::Complete(_) = self.directory.state(index)? {
            return Ok(false);
        }
        output.finish()?;
        self.directory
            .complete(index, images, failed, bytes, sha256, runs)?;
        Ok(true)
    }
}

/// Returns the size and the digest of what is read to its end.
pub fn hash(file: &mut dyn Read) -> std::io::Result<(u64, Digest)> {
    let mut digest = Chain::default();
    let mut bytes = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((bytes, digest.finish()));
        }
        bytes += count as u64;
        digest.update(&buffer[..count]);
    }
}

/// Returns the digests of the files that decide the answers: models and the files next to them, preprocessing, labels,
/// and `others`.
pub fn files<'a>(
    engines: impl Iterator<Item = &'a EngineOptions>,
    preprocess: &PreprocessArgs,
    others: impl Iterator<Item = &'a Path>,
) -> anyhow::Result<BTreeMap<String, Digest>> {
    let mut files = BTreeMap::new();
    let mut named: Vec<PathBuf> = Vec::new();
    for engine in engines {
        // The model of a remote engine is on servers; the local one has its preprocessing.
        if let Some(model) = engine.local_model()
            && let Entry::Vacant(entry) = files.entry(distinct_text(model.as_os_str()))
        {
            entry.insert(Digest::of_model(model)?);
            named.extend(sources::files(model));
        }
        named.extend(engine.runtime.plugins.clone());
    }
    let preprocessing = preprocess.preprocess.as_deref().into_iter();
    let preprocessing = preprocessing.flat_map(sources::files_of_preprocessing);
    named.extend(preprocessing.filter(|path| path.is_file()));
    named.extend(preprocess.labels.clone());
    named.extend(others.map(Path::to_owned));
    for path in named {
        let digest = Digest::of_files(std::slice::from_ref(&path));
        let digest = digest.with_context(|| format!("cannot read {}", path.display()))?;
        files.insert(distinct_text(path.as_os_str()), digest);
    }
    Ok(files)
}

/// Checks that something else than the first outputs decides the rule for scores: shards have other first outputs.
pub fn check_reading(run: &OpenRun) -> anyhow::Result<()> {
    if run.fitted.reading.is_some() {
        return Ok(());
    }
    let error = format!(
        "{} does not state the kind of its scores, and shards with other images may decide differently",
        run.model.display()
    );
    Err(Hinted::new(error, "name the kind, such as `--scores softmax`").into())
}

/// Checks that a part is as its shard left it.
pub fn check_digest(part: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    let mut file = model_file::open_regular(part)?;
    if hash(&mut file)? == (manifest.bytes, manifest.sha256) {
        Ok(())
    } else {
        Err(changed())
    }
}

/// Checks that a part has as many images and failures as its manifest states.
pub fn check_counts(manifest: &Manifest, images: u64, failed: u64) -> anyhow::Result<()> {
    if (images, failed) == (manifest.images, manifest.failed) {
        return Ok(());
    }
    Err(damaged(&format!(
        "it has {images} images, of which {failed} failed, but its manifest states {} and {}",
        manifest.images, manifest.failed
    )))
}

/// Returns the error of a part whose digest is another one.
pub fn changed() -> anyhow::Error {
    damaged("it has changed since its shard wrote it")
}

/// Returns the error of a part that is not as its shard left it.
pub fn damaged(what: &str) -> anyhow::Error {
    Hinted::new(what, "remove it, and run its shard again").into()
}
