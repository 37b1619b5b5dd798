//! The entries of the inputs, which shards divide among themselves.
//!
//! An entry is an image or an archive, or a line of a list, whatever is there. Lists are read from start to end and
//! never held: once to count and hash their entries, and once for the entries of the shard. Only the latter are looked
//! up in the file system.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use std::vec;

use anyhow::Context as _;
use evaluation::{Chain, Digest};

use crate::args::InputArgs;
use crate::errors::Hinted;
use crate::inputs::{Input, Inputs, open_list, path_from_bytes};
use crate::lines::{self, Ends};
use crate::list_stream;

/// Bytes that are asked of the system at a time.
const READ_BYTES: usize = 1 << 20;

/// The entries of all shards.
#[derive(Debug)]
pub struct Entries {
    sources: Vec<Source>,
    recursive: bool,
    /// The number of entries.
    pub count: u64,
    /// The digest of their paths, in their order.
    pub digest: Digest,
    /// Counts of the entries of directories that are no images, and the lists.
    pub found: Inputs,
}

#[derive(Debug)]
enum Source {
    /// Images and archives that the command line names, or directories and patterns among its arguments.
    Named(Vec<Input>),
    List(List),
}

/// A list with one path a line.
#[derive(Debug)]
struct List {
    /// The name for messages.
    name: String,
    file: File,
    count: u64,
    /// The length and the time of the last change when the list was counted.
    state: (u64, Option<SystemTime>),
}

impl Entries {
    /// Finds the entries that the command line names, and reads its lists to their ends.
    ///
    /// # Errors
    ///
    /// If there are no entries, or a list cannot be read.
    pub fn find(args: &InputArgs) -> anyhow::Result<Self> {
        let mut found = Inputs::of_entries();
        let mut sources = Vec::new();
        for argument in &args.input {
            if argument.as_os_str() == "-" {
                found.stdin = true;
                let what = "cannot read the list on stdin";
                sources.push(Source::List(List::of_stdin().context(what)?));
            } else {
                sources.push(Source::Named(found.take_argument(argument, args.recursive)));
            }
        }
        for list in &args.input_list {
            found.lists.push(list.clone());
            let file = open_list(list)?;
            sources.push(Source::List(List::new(list.display().to_string(), file)?));
        }
        let mut digest = Chain::default();
        let mut count = 0;
        for source in &mut sources {
            match source {
                Source::Named(named) => {
                    for entry in named.iter() {
                        hash(&mut digest, entry.path.as_os_str().as_encoded_bytes());
                    }
                    count += named.len() as u64;
                }
                Source::List(list) => {
                    list.count(&mut digest)?;
                    count += list.count;
                }
            }
        }
        let mut entries = Self {
            sources,
            recursive: args.recursive,
            count,
            digest: digest.finish(),
            found,
        };
        match (&mut *entries.sources, count) {
            (_, 0) => Inputs::check(&mut [])?,
            // The error of the only input.
            ([Source::Named(named)], 1) => Inputs::check(named)?,
            _ => {}
        }
        Ok(entries)
    }

    /// Returns the entries that no list has.
    pub fn named(&self) -> impl Iterator<Item = &Input> {
        let named = self.sources.iter().filter_map(|source| match source {
            Source::Named(named) => Some(named),
            Source::List(_) => None,
        });
        named.flatten()
    }

    /// Shows the entries to `visit` whose paths are `wanted`, and the images of those that are directories. This reads the
    /// lists once more.
    ///
    /// # Errors
    ///
    /// If a list cannot be read.
    pub fn each(
        &self,
        wanted: &dyn Fn(&Path) -> bool,
        visit: &mut dyn FnMut(&Input),
    ) -> anyhow::Result<()> {
        let named = self.named().filter(|input| wanted(input.file_read()));
        named.for_each(&mut *visit);
        let mut inputs = Inputs::of_entries();
        for source in &self.sources {
            let Source::List(list) = source else { continue };
            let mut lines = Lines::new(&list.file).with_context(|| list.what())?;
            while let Some(path) = next(list, &mut lines, &mut 0)? {
                if wanted(&path) {
                    let found = inputs.take(&path, self.recursive);
                    found.iter().for_each(&mut *visit);
                }
            }
        }
        Ok(())
    }

    /// Returns the images of the entries in `range`, and the state of the search for them.
    pub fn into_images(self, range: Range<u64>) -> (Images, ImagesState) {
        let state = ImagesState::default();
        let images = Images {
            sources: self.sources.into_iter(),
            current: None,
            ready: Vec::new().into_iter(),
            skip: range.start,
            rest: range.end - range.start,
            recursive: self.recursive,
            state: state.clone(),
        };
        (images, state)
    }
}

/// Adds a path. No path has a NUL.
fn hash(digest: &mut Chain, path: &[u8]) {
    digest.update(path);
    digest.update(&[0]);
}

impl List {
    /// Returns a list in a file, from its start.
    fn new(name: String, file: File) -> anyhow::Result<Self> {
        let state = state(&file).with_context(|| format!("cannot read the input list {name}"))?;
        Ok(Self {
            name,
            file,
            count: 0,
            state,
        })
    }

    /// Returns the list on stdin, which is read twice and therefore copied to a temporary file.
    fn of_stdin() -> anyhow::Result<Self> {
        let mut file = tempfile::tempfile().context("cannot make a temporary file for it")?;
        std::io::copy(&mut std::io::stdin().lock(), &mut file)?;
        Self::new("on stdin".to_owned(), file)
    }

    /// Counts the entries and adds them to `digest`.
    fn count(&mut self, digest: &mut Chain) -> anyhow::Result<()> {
        let mut lines = Lines::new(&self.file).with_context(|| self.what())?;
        let mut count = 0;
        loop {
            match lines.next() {
                Ok(Some(path)) => hash(digest, path),
                Ok(None) => break,
                Err(error) => return Err(error.context(self.what())),
            }
            count += 1;
        }
        self.count = count;
        Ok(())
    }

    fn what(&self) -> String {
        format!("cannot read the input list {}", self.name)
    }

    /// Checks that the list is still the one that was counted.
    fn check(&self) -> anyhow::Result<()> {
        if state(&self.file)? == self.state {
            return Ok(());
        }
        let hint = "run the shard again when nothing writes to the list";
        Err(Hinted::new("it changed while it was read", hint).into())
    }
}

fn state(file: &File) -> std::io::Result<(u64, Option<SystemTime>)> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}

/// The lines of a list that are not empty.
#[derive(Debug)]
struct Lines {
    file: BufReader<File>,
    ends: Ends,
    number: u64,
    buffer: Vec<u8>,
}

impl Lines {
    fn new(file: &File) -> anyhow::Result<Self> {
        let mut file = file.try_clone()?;
        file.rewind()?;
        let mut file = BufReader::with_capacity(READ_BYTES, file);
        Ok(Self {
            ends: list_stream::ends(file.fill_buf()?)?,
            file,
            number: 0,
            buffer: Vec::new(),
        })
    }

    /// Returns the path of the next line.
    fn next(&mut self) -> anyhow::Result<Option<&[u8]>> {
        loop {
            let line = lines::read_line(&mut self.file, self.ends, &mut self.buffer)?;
            let Some(is_whole) = line else {
                return Ok(None);
            };
            self.number += 1;
            let bytes = is_whole.then_some(&*self.buffer);
            // Not its result: the borrow checker would hold the buffer for the next round.
            if list_stream::path_of(self.number, bytes)?.is_some() {
                break;
            }
        }
        list_stream::path_of(self.number, Some(&self.buffer))
    }
}

/// The images of a shard. The iterator ends early if a list cannot be read, and [`ImagesState::finish`] returns why.
#[derive(Debug)]
pub struct Images {
    sources: vec::IntoIter<Source>,
    current: Option<Current>,
    ready: vec::IntoIter<Input>,
    /// Entries of earlier shards.
    skip: u64,
    /// Entries of this shard that are not looked up yet.
    rest: u64,
    recursive: bool,
    state: ImagesState,
}

/// The source whose entries are looked up.
#[derive(Debug)]
enum Current {
    Named(vec::IntoIter<Input>),
    List(List, Lines),
}

/// The state of the search for the images of a shard.
#[derive(Debug, Clone, Default)]
pub struct ImagesState(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    inputs: Inputs,
    count: u64,
    error: Option<anyhow::Error>,
    is_complete: bool,
}

impl ImagesState {
    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of images if all were found.
    ///
    /// # Errors
    ///
    /// If a list could not be read. The error is returned once.
    pub fn finish(&self) -> anyhow::Result<Option<u64>> {
        let mut found = self.lock();
        match found.error.take() {
            Some(error) => Err(error),
            None => Ok(found.is_complete.then_some(found.count)),
        }
    }

    /// Entries of directories that were skipped, as [`Inputs::skipped`].
    pub fn skipped(&self, briefly: bool) -> Option<String> {
        self.lock().inputs.skipped(briefly)
    }
}

impl Images {
    fn find(&mut self) -> anyhow::Result<Option<Input>> {
        loop {
            if let Some(input) = self.ready.next() {
                self.state.lock().count += 1;
                return Ok(Some(input));
            }
            if let Some(current) = &mut self.current {
                let next = if self.rest == 0 {
                    None
                } else {
                    current.next(&mut self.skip)?
                };
                if let Some(entry) = next {
                    self.rest -= 1;
                    let inputs = match entry {
                        Input {
                            problem: Some(_), ..
                        } => vec![entry],
                        // An entry may be an archive, however it was named.
                        Input { path, .. } => self.state.lock().inputs.take(&path, self.recursive),
                    };
                    self.ready = inputs.into_iter();
                    continue;
                }
                if let Current::List(list, _) = current {
                    list.check()
                        .with_context(|| format!("cannot use the input list {}", list.name))?;
                }
                self.current = None;
            }
            if self.rest == 0 {
                return Ok(None);
            }
            match self.sources.next() {
                None => {
                    return Err(anyhow::anyhow!("the lists have fewer entries than before"));
                }
                Some(Source::Named(named)) => {
                    self.current = Some(Current::Named(named.into_iter()));
                }
                // None of its entries belongs to this shard.
                Some(Source::List(list)) if list.count <= self.skip => self.skip -= list.count,
                Some(Source::List(list)) => {
                    let lines = Lines::new(&list.file).with_context(|| list.what())?;
                    self.current = Some(Current::List(list, lines));
                }
            }
        }
    }
}

impl Current {
    /// Returns the next entry after `skip` others.
    fn next(&mut self, skip: &mut u64) -> anyhow::Result<Option<Input>> {
        match self {
            Self::Named(named) => {
                let skipped = (*skip).min(named.len() as u64);
                *skip -= skipped;
                Ok(named.nth(skipped as usize))
            }
            Self::List(list, lines) => Ok(next(list, lines, skip)?.map(Input::file)),
        }
    }
}

/// Returns the path of the next entry of a list after `skip` others.
fn next(list: &List, lines: &mut Lines, skip: &mut u64) -> anyhow::Result<Option<PathBuf>> {
    loop {
        let Some(path) = lines.next().with_context(|| list.what())? else {
            return Ok(None);
        };
        if *skip == 0 {
            return Ok(Some(path_from_bytes(path).with_context(|| list.what())?));
        }
        *skip -= 1;
    }
}

impl Iterator for Images {
    type Item = Input;

    fn next(&mut self) -> Option<Input> {
        match self.find() {
            Ok(Some(input)) => Some(input),
            Ok(None) => {
                self.state.lock().is_complete = true;
                None
            }
            Err(error) => {
                self.state.lock().error = Some(error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Shard;

    fn args(input: &[&Path], lists: &[&Path]) -> InputArgs {
        let owned = |paths: &[&Path]| paths.iter().map(|path| (*path).to_owned()).collect();
        InputArgs {
            model: None,
            input: owned(input),
            input_list: owned(lists),
            recursive: true,
        }
    }

    fn paths(args: &InputArgs, index: u32, count: u32) -> Vec<PathBuf> {
        let entries = Entries::find(args).unwrap();
        let range = Shard { index, count }.range(entries.count);
        let (images, state) = entries.into_images(range);
        let paths: Vec<PathBuf> = images.map(|input| input.path).collect();
        assert_eq!(state.finish().unwrap(), Some(paths.len() as u64));
        paths
    }

    #[test]
    fn shards_have_the_images_of_the_whole_in_its_order() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(at("inside/deep")).unwrap();
        for name in ["inside/b.jpg", "inside/deep/a.jpg", "inside/no.txt"] {
            std::fs::write(at(name), b"").unwrap();
        }
        let lines = format!("x.jpg\n\n{}\r\ny.jpg", at("inside").display());
        std::fs::write(at("one.txt"), lines).unwrap();
        std::fs::write(at("two.txt"), b"p\0q\nr\0").unwrap();
        let (first, inside) = (at("first.jpg"), at("inside"));
        let (one, two) = (at("one.txt"), at("two.txt"));
        let args = args(&[&first, &inside], &[&one, &two]);
        let whole = Inputs::find(&args.input, &args.input_list, true).unwrap();
        let whole: Vec<PathBuf> = whole.list.into_iter().map(|input| input.path).collect();
        assert_eq!(whole.len(), 9);
        for count in [1, 2, 3, 8, 50] {
            let all = (0..count).flat_map(|index| paths(&args, index, count));
            assert_eq!(all.collect::<Vec<_>>(), whole, "{count}");
        }
    }

    #[test]
    fn an_archive_is_an_entry_however_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["a.tar", "c.tar"] {
            let mut builder = tar::Builder::new(File::create(at(name)).unwrap());
            for member in ["0.ppm", "1.ppm"] {
                let mut header = tar::Header::new_gnu();
                header.set_size(0);
                builder
                    .append_data(&mut header, member, std::io::empty())
                    .unwrap();
            }
            builder.finish().unwrap();
        }
        std::fs::write(at("b.jpg"), b"").unwrap();
        let (a, b, c) = (at("a.tar"), at("b.jpg"), at("c.tar"));
        let pattern = at("[a-c].*");
        let named: [&[&Path]; 3] = [&[&a, &b, &c], &[directory.path()], &[&pattern]];
        for input in named {
            let args = args(input, &[]);
            let shards = [0, 1, 2].map(|index| paths(&args, index, 3));
            let of_c = [c.join("0.ppm"), c.join("1.ppm")];
            assert_eq!(shards[0], [a.join("0.ppm"), a.join("1.ppm")]);
            assert_eq!(shards[1], std::slice::from_ref(&b));
            assert_eq!(shards[2], of_c);
        }
    }

    #[test]
    fn the_digest_is_of_the_paths_and_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let list = directory.path().join("list.txt");
        let digest = |lines: &str| {
            std::fs::write(&list, lines).unwrap();
            Entries::find(&args(&[], &[&list])).unwrap().digest
        };
        let first = digest("a\nb\n");
        assert_eq!(digest("a\r\n\nb"), first);
        assert_eq!(digest("a\0b\0"), first);
        for other in ["b\na\n", "a\n", "ab\n", "a\nb\nb\n"] {
            assert_ne!(digest(other), first, "{other}");
        }
    }

    #[test]
    fn a_list_that_grows_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let list = directory.path().join("list.txt");
        std::fs::write(&list, "a\nb\n").unwrap();
        let entries = Entries::find(&args(&[], &[&list])).unwrap();
        std::fs::write(&list, "a\nc\nb\n").unwrap();
        let (images, state) = entries.into_images(0..1);
        assert_eq!(images.count(), 1);
        let error = format!("{:#}", state.finish().unwrap_err());
        assert!(error.contains("changed while it was read"), "{error}");
    }

    #[test]
    fn an_empty_list_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let list = directory.path().join("list.txt");
        std::fs::write(&list, "\n\n").unwrap();
        assert!(Entries::find(&args(&[], &[&list])).is_err());
    }
}
