//! The check that no output replaces a file that the command reads, or another output.
//!
//! Files are told apart by what they are and not by how their paths are written: hard links, symbolic links,
//! `./x` and names in another case are the same file where the file system says so.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use image_classification::sources;

use crate::args::PreprocessArgs;
use crate::destination::{is_temporary_name, target, temporary_names};
use crate::engines;
use crate::errors::Hinted;
use crate::identity::Identity;
use crate::inputs::Inputs;
use crate::options::{EngineOptions, RunsOptions};
use crate::shards::Entries;

const STDOUT: &str = "stdout";

/// Files of a model that are named like it. Those that its content names are found by [`model_file::named_files`].
const NAMED_LIKE_THE_MODEL: [&str; 7] = [
    "xml",
    "bin",
    "pdmodel",
    "pdiparams",
    "index",
    "data-00000-of-00001",
    "labels",
];

/// An output, with the flag that names it.
pub type Named<'a> = (&'static str, &'a Path);

/// Everything that a command reads.
#[derive(Debug, Default)]
pub struct FilesRead<'a> {
    inputs: Vec<&'a Inputs>,
    /// The entries of shards, which `inputs` does not hold.
    entries: Vec<&'a Entries>,
    engines: Vec<&'a EngineOptions>,
    preprocess: Vec<&'a PreprocessArgs>,
    /// Files that only some commands read, each with its role.
    others: Vec<(&'static str, Cow<'a, Path>)>,
}

/// An output, and the file that it will be.
struct Planned<'a> {
    /// The flag, or [`STDOUT`].
    flag: &'a str,
    path: &'a Path,
    target: PathBuf,
    /// `None` for a file that does not exist yet.
    identity: Option<Identity>,
}

impl<'a> FilesRead<'a> {
    /// Returns the files of one engine over images.
    pub fn of_engine(
        engine: &'a EngineOptions,
        inputs: &'a Inputs,
        preprocess: &'a PreprocessArgs,
    ) -> Self {
        Self {
            inputs: vec![inputs],
            engines: vec![engine],
            preprocess: vec![preprocess],
            ..Self::default()
        }
    }

    /// Returns the files of runs over images.
    pub fn of_runs(options: &'a RunsOptions) -> Self {
        Self {
            inputs: vec![&options.inputs],
            engines: options.runs.iter().map(|(_, engine)| engine).collect(),
            preprocess: vec![&options.preprocess],
            ..Self::default()
        }
    }

    /// Adds a file that only this command reads, with its role.
    pub fn with(mut self, role: &'static str, path: Option<impl Into<Cow<'a, Path>>>) -> Self {
        self.others.extend(path.map(|path| (role, path.into())));
        self
    }

    /// Adds the entries of all shards.
    pub fn with_entries(mut self, entries: &'a Entries) -> Self {
        self.entries.push(entries);
        self
    }

    /// Adds the files of another command.
    pub fn and(mut self, other: Self) -> Self {
        self.inputs.extend(other.inputs);
        self.entries.extend(other.entries);
        self.engines.extend(other.engines);
        self.preprocess.extend(other.preprocess);
        self.others.extend(other.others);
        self
    }

    /// Checks `outputs`, each with its flag, before anything is written.
    ///
    /// # Errors
    ///
    /// Two outputs that are the same file, and an output that is a file that is read: it says which.
    pub fn check(&self, outputs: &[Named<'_>]) -> anyhow::Result<()> {
        let mut planned = planned(outputs);
        self.check_outputs(&planned)?;
        self.check_missing(&planned)?;
        planned.retain(|output| output.identity.is_some());
        let replaces = planned.iter().any(|output| output.flag != STDOUT);
        planned.extend(outputs.iter().flat_map(temporaries));
        let mut found = None;
        let mut compare = |identity: Option<Identity>, read: &dyn Fn() -> String| {
            let same = |output: &&Planned| identity.is_some() && output.identity == identity;
            if found.is_none()
                && let Some(output) = planned.iter().find(same)
            {
                found = Some(output.replaces(&read()));
            }
        };
        let mut visit = |role: &str, path: &Path| {
            compare(Identity::of_path(path), &|| {
                format!("{}, which is read ({role})", path.display())
            });
        };
        // Looking into a model takes time. Stdout counts too: `… >> model.bin` would damage the weights.
        if !planned.is_empty() {
            self.each_named(&mut visit);
            self.each_found(&mut visit);
        }
        // A million entries are looked up only if an output is there. Stdout has no results of a shard, and a temporary file
        // is removed under its own name alone.
        if planned.iter().any(|output| output.flag != STDOUT) {
            let is_looked_up = |path: &Path| replaces || is_temporary_name(path);
            for entries in &self.entries {
                entries.each(&is_looked_up, &mut |input| {
                    visit("an image", input.file_read());
                })?;
            }
        }
        if self.inputs.iter().any(|inputs| inputs.stdin) {
            compare(Identity::of_stream(io::stdin()), &|| {
                "the list on stdin, which is read".to_owned()
            });
        }
        found.map_or(Ok(()), Err)
    }

    /// Checks the outputs against each other, and against what the cache owns.
    fn check_outputs(&self, planned: &[Planned]) -> anyhow::Result<()> {
        for (index, one) in planned.iter().enumerate() {
            if let Some(other) = planned[..index].iter().find(|other| one.is(other)) {
                let error = format!("{} and {} are the same file", other.name(), one.name());
                return Err(Hinted::new(error, "give each output a name of its own").into());
            }
            if let Some(engine) = self.engines.iter().find(|engine| one.is_in_cache(engine)) {
                let directory = engine.cache_dir.as_deref().unwrap_or(Path::new(""));
                return Err(one.refused(
                    &format!(
                        "this name is reserved by the cache directory {}",
                        directory.display()
                    ),
                    "name a file outside of the cache",
                ));
            }
        }
        Ok(())
    }

    /// Rejects an output whose path is also an input that does not exist yet. Otherwise a later command would read that
    /// output as its input.
    fn check_missing(&self, planned: &[Planned<'_>]) -> anyhow::Result<()> {
        let mut found = None;
        for output in planned.iter().filter(|output| output.identity.is_none()) {
            let mut visit = |role: &str, path: &Path| {
                // Most inputs exist, and are compared with those outputs that exist.
                let same_name = path.file_name() == output.target.file_name();
                if found.is_none()
                    && same_name
                    && target(output.flag, path).is_ok_and(|target| target == output.target)
                {
                    let read = format!("{}, which is read ({role})", path.display());
                    found = Some(output.replaces(&read));
                }
            };
            self.each_named(&mut visit);
            // The lines of a list that are not there are left out: nothing of theirs is replaced.
            for input in self.entries.iter().flat_map(|entries| entries.named()) {
                visit("an image", input.file_read());
            }
        }
        found.map_or(Ok(()), Err)
    }

    /// Shows the files that the command line names to `visit`, each with its role.
    fn each_named(&self, visit: &mut dyn FnMut(&str, &Path)) {
        for inputs in &self.inputs {
            for input in &inputs.list {
                visit("an image", input.file_read());
            }
            for list in &inputs.lists {
                visit("the input list", list);
            }
        }
        for preprocess in &self.preprocess {
            if let Some(labels) = &preprocess.labels {
                visit("the labels", labels);
            }
            let file = preprocess.preprocess.as_deref();
            for path in file.into_iter().flat_map(sources::files_of_preprocessing) {
                visit("the preprocessing file", &path);
            }
        }
        for (role, path) in &self.others {
            visit(role, path);
        }
        for engine in &self.engines {
            if let Some(model) = engine.local_model() {
                visit("the model", model);
            }
            each_of_remote(engine, visit);
        }
    }

    /// Shows the files that are found otherwise to `visit`.
    fn each_found(&self, visit: &mut dyn FnMut(&str, &Path)) {
        for (index, engine) in self.engines.iter().enumerate() {
            let model = engine.local_model();
            let is_other = |other: &&EngineOptions| other.local_model() != model;
            if let Some(model) = model
                && self.engines[..index].iter().all(is_other)
            {
                each_of_model(model, visit);
            }
            each_of_engine(engine, visit);
        }
        if let Ok(program) = std::env::current_exe() {
            visit("this program", &program);
        }
    }
}

/// Returns the outputs, stdout among them if it is a file.
fn planned<'a>(outputs: &[Named<'a>]) -> Vec<Planned<'a>> {
    let files = outputs.iter().filter_map(|&(flag, path)| {
        // What cannot be opened says so itself when it is.
        let target = target(flag, path).ok()?;
        let identity = Identity::of_path(&target);
        Some(Planned {
            flag,
            path,
            target,
            identity,
        })
    });
    let stdout = Identity::of_stream(io::stdout()).map(|identity| Planned {
        flag: STDOUT,
        path: Path::new(""),
        target: PathBuf::new(),
        identity: Some(identity),
    });
    files.chain(stdout).collect()
}

/// Returns the temporary files of an output that are there: those of killed processes are removed when it is opened.
fn temporaries<'a>(&(flag, path): &Named<'a>) -> Vec<Planned<'a>> {
    let Ok(target) = target(flag, path) else {
        return Vec::new();
    };
    let planned = |target: PathBuf| {
        Some(Planned {
            flag,
            path,
            identity: Some(Identity::of_path(&target)?),
            target,
        })
    };
    temporary_names(&target).filter_map(planned).collect()
}

/// Returns the files that an engine reads of a model.
pub fn model_files(model: &Path) -> Vec<PathBuf> {
    let mut files = model_file::named_files(model);
    files.extend(NAMED_LIKE_THE_MODEL.map(|ending| model.with_extension(ending)));
    files
}

/// Shows the files of a model, and those next to it.
fn each_of_model(model: &Path, visit: &mut dyn FnMut(&str, &Path)) {
    for ending in NAMED_LIKE_THE_MODEL {
        visit("a file of the model", &model.with_extension(ending));
    }
    // Why a model cannot be read is said when it is opened.
    for file in model_file::named_files(model) {
        visit("a file of the model", &file);
    }
    for file in sources::files(model) {
        visit("next to the model", &file);
    }
}

/// Shows the files of the connections of a remote engine.
fn each_of_remote(engine: &EngineOptions, visit: &mut dyn FnMut(&str, &Path)) {
    let Some(remote) = &engine.remote else { return };
    let files = [
        ("the token", &remote.token_file),
        ("the certificates", &remote.ca),
    ];
    for (role, path) in files {
        if let Some(path) = path {
            visit(role, path);
        }
    }
}

/// Shows the files of the engine's runtime.
fn each_of_engine(engine: &EngineOptions, visit: &mut dyn FnMut(&str, &Path)) {
    for property in &engine.config {
        if let Some((_, value)) = property.split_once('=') {
            visit("a value of --config", Path::new(value));
        }
    }
    if let Ok(Some(plugins)) = engine.runtime.plugins() {
        visit("the plugins file", &plugins);
        each_library_beside(&plugins, visit);
        for library in engines::plugin_libraries(&plugins) {
            visit("a library of the plugins file", &library);
        }
    }
    if let Ok(Some(found)) = engines::library(engine) {
        visit("a library of the engine", &found.path);
        each_library_beside(&found.path, visit);
    }
}

/// Shows the libraries in the directory of `path`: an engine loads some of them later.
fn each_library_beside(path: &Path, visit: &mut dyn FnMut(&str, &Path)) {
    let directory = path.parent().map(fs::read_dir);
    for entry in directory.into_iter().flatten().flatten().flatten() {
        if runtime_library::is_library_name(&entry.file_name()) {
            visit("a library of the engine", &entry.path());
        }
    }
}

impl Planned<'_> {
    fn name(&self) -> String {
        format!("{} {}", self.flag, self.path.display())
            .trim_end()
            .to_owned()
    }

    fn replaces(&self, read: &str) -> anyhow::Error {
        if self.flag == STDOUT {
            let reason = format!("it leads to {read}");
            return self.refused(&reason, "redirect it to another file");
        }
        let hint = format!("give {} another name", self.flag);
        self.refused(&format!("it would replace {read}"), &hint)
    }

    fn refused(&self, reason: &str, hint: &str) -> anyhow::Error {
        let what = match self.flag {
            STDOUT => STDOUT.to_owned(),
            _ => self.path.display().to_string(),
        };
        anyhow::Error::new(Hinted::new(reason, hint)).context(format!("cannot write {what}"))
    }

    fn is(&self, other: &Self) -> bool {
        match (&self.identity, &other.identity) {
            (Some(one), Some(other)) => one == other,
            (None, None) => {
                self.target == other.target
                    || self.target.parent() == other.target.parent()
                        && same_name(&self.target, &other.target)
            }
            _ => false,
        }
    }

    /// Returns whether the output lies in a directory of OpenVINO's cache, or takes the name of one or of the cache.
    fn is_in_cache(&self, engine: &EngineOptions) -> bool {
        let Some(Ok(cache)) = engine
            .cache_dir
            .as_deref()
            .map(|directory| target("--cache-dir", directory))
        else {
            return false;
        };
        self.target.strip_prefix(cache).is_ok_and(|inside| {
            let first = inside.components().next();
            first.is_none_or(|entry| engines::is_cache_name(entry.as_os_str()))
        })
    }
}

/// Returns whether the file system treats the names of two files that do not exist as the same: it may ignore case.
/// A trial in an empty directory next to the files decides.
fn same_name(one: &Path, other: &Path) -> bool {
    let (Some(directory), Some(one), Some(other)) =
        (one.parent(), one.file_name(), other.file_name())
    else {
        return false;
    };
    let Ok(directory) = tempfile::Builder::new()
        .prefix(".classify-")
        .tempdir_in(directory)
    else {
        return false;
    };
    File::create_new(directory.path().join(one)).is_ok() && directory.path().join(other).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(outputs: &[Named<'_>], read: &[&Path]) -> Result<(), String> {
        let read = read.iter();
        let read = read.fold(FilesRead::default(), |read, path| {
            read.with("the role", Some(*path))
        });
        read.check(outputs).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn an_output_that_is_read_is_refused_however_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("read"), "").unwrap();
        fs::write(at("other"), "").unwrap();
        fs::create_dir(at("sub")).unwrap();
        let mut spellings = vec![at("read"), at("./read"), at("sub/../read")];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("read", at("link")).unwrap();
            std::os::unix::fs::symlink(at("link"), at("sub/link")).unwrap();
            std::os::unix::fs::symlink(directory.path(), at("directory")).unwrap();
            fs::hard_link(at("read"), at("hard")).unwrap();
            spellings.extend(["link", "sub/link", "directory/read", "hard"].map(at));
        }
        for output in &spellings {
            for read in &spellings {
                let error = checked(&[("--output", output)], &[read]).unwrap_err();
                assert!(
                    error.contains("which is read (the role)")
                        && error.contains(&*output.to_string_lossy())
                        && error.contains(&*read.to_string_lossy()),
                    "{error}"
                );
            }
            assert_eq!(checked(&[("--output", output)], &[&at("other")]), Ok(()));
            assert_eq!(checked(&[("--output", &at("new"))], &[output]), Ok(()));
        }
    }

    #[test]
    fn a_file_with_the_name_of_a_temporary_one_is_not_removed_if_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("new");
        for read in temporary_names(&output) {
            assert_eq!(checked(&[("--output", &output)], &[&read]), Ok(()));
            fs::write(&read, "").unwrap();
            let error = checked(&[("--output", &output)], &[&read]).unwrap_err();
            assert!(error.contains("which is read (the role)"), "{error}");
            fs::remove_file(read).unwrap();
        }
    }

    #[test]
    fn entries_are_looked_up_only_if_an_output_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let output = at("part");
        let temporary = temporary_names(&output).last().unwrap();
        let names = ["a.jpg", "link.jpg"].map(at);
        let lines = [&names[..], std::slice::from_ref(&temporary)].concat();
        let lines: Vec<String> = lines.iter().map(|it| it.display().to_string()).collect();
        fs::write(at("list"), lines.join("\n")).unwrap();
        let input = crate::args::InputArgs {
            model: None,
            input: Vec::new(),
            input_list: vec![at("list")],
            recursive: false,
        };
        let entries = Entries::find(&input).unwrap();
        let check = || {
            let read = FilesRead::default().with_entries(&entries);
            let result = read.check(&[("--out-dir", &output)]);
            result.map_err(|error| format!("{error:#}"))
        };
        let looked_up = |is_looked_up: &dyn Fn(&Path) -> bool| {
            let mut count = 0;
            entries.each(is_looked_up, &mut |_| count += 1).unwrap();
            count
        };
        assert_eq!(looked_up(&|_| true), 3);
        assert_eq!(looked_up(&is_temporary_name), 1);
        assert_eq!(check(), Ok(()));
        fs::write(&temporary, "").unwrap();
        let error = check().unwrap_err();
        assert!(error.contains("-17.tmp, which is read"), "{error}");
        fs::remove_file(&temporary).unwrap();
        fs::write(&output, "").unwrap();
        assert_eq!(check(), Ok(()));
        fs::hard_link(&output, at("link.jpg")).unwrap();
        let error = check().unwrap_err();
        assert!(error.contains("link.jpg, which is read"), "{error}");
    }

    #[test]
    fn two_outputs_to_one_file_are_refused_before_it_exists() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        let mut spellings = vec![at("new.json"), at("./new.json"), at("sub/../new.json")];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("new.json", at("dangling")).unwrap();
            std::os::unix::fs::symlink("../dangling", at("sub/dangling")).unwrap();
            spellings.extend(["dangling", "sub/dangling"].map(at));
        }
        for one in &spellings {
            for other in &spellings {
                let error = checked(&[("--record", one), ("--report", other)], &[]).unwrap_err();
                assert!(error.contains("are the same file"), "{error}");
                assert!(
                    error.contains("--record") && error.contains("--report"),
                    "{error}"
                );
            }
            for other in ["new.JSN", "sub/new.json", "new"].map(at) {
                assert_eq!(
                    checked(&[("--record", one), ("--report", &other)], &[]),
                    Ok(())
                );
            }
        }
        let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert!(left.len() <= 2, "{left:?}");
    }
}
