//! Ground truth: the classes that each image shows.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::directories::{Directories, check_numbers};
use super::entries::Entries;
use super::error::GroundTruthError;
use super::forms::{TruthForm, TruthSummary};
use super::lookup::{ClassLookup, Numbers, SEPARATORS};
use super::truth_text;

/// The classes of each image as they are written. It is the same for all runs; [`ClassLookup`] finds a run's classes.
#[derive(Debug)]
pub struct GroundTruth {
    /// The name of the file, if it was one.
    file: Option<String>,
    /// The meaning of numbers.
    numbers: Numbers,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// The entries of a file by the image's name, as it is written.
    Entries {
        entries: Entries,
        /// The image that took each entry.
        used: BTreeMap<OsString, PathBuf>,
        form: TruthForm,
    },
    /// The directory that contains an image.
    Folders(Directories),
}

impl GroundTruth {
    /// The largest file that is read, in bytes.
    pub const MOST_BYTES: u64 = truth_text::MOST_BYTES;

    /// Reads a file. Lines are `name class`, `path<TAB>label name`, or CSV with a header. Several classes of an image
    /// are on several lines, or on one line with `|` or `;` between them.
    ///
    /// The file is read line by line. Memory is taken for the names and the classes alone, at most 1.5 GB.
    ///
    /// # Errors
    ///
    /// For a file that cannot be read or is larger than [`MOST_BYTES`](Self::MOST_BYTES), a line without a class, more than
    /// 3,670,016 entries, a line of more than 4 MiB or 1024 columns, and an image with more than 4096 classes or a path of
    /// more than 256 parts. For a file that is no text, two columns or keys that could be the class, and a repeated one.
    pub fn read(file: impl Read) -> Result<Self, GroundTruthError> {
        Self::read_columns(file, None)
    }

    /// Reads a file as [`read`](Self::read) does, with the names of the columns of the image and of the class.
    ///
    /// # Errors
    ///
    /// The errors of [`read`](Self::read), and for a file without these columns.
    pub fn read_columns(
        file: impl Read,
        columns: Option<&[String; 2]>,
    ) -> Result<Self, GroundTruthError> {
        let (entries, form, numbers) = truth_text::parse(file, columns)?;
        Ok(Self {
            file: None,
            numbers,
            source: Source::Entries {
                entries,
                used: BTreeMap::new(),
                form,
            },
        })
    }

    /// Returns the classes that archives have for their images, with the images' exact names.
    pub fn members(images: impl IntoIterator<Item = (PathBuf, Vec<String>)>) -> Self {
        let mut entries = Entries::default();
        for (place, (name, classes)) in images.into_iter().enumerate() {
            entries.insert(place + 1, &name, &classes);
        }
        Self {
            file: None,
            numbers: Numbers::default(),
            source: Source::Entries {
                entries,
                used: BTreeMap::new(),
                form: TruthForm::ArchiveMembers,
            },
        }
    }

    /// Takes the class of an image from the name of its directory: a name, an id or a synset of `ImageNet`. `images`
    /// may be empty; they tell whether all directories are synsets.
    pub fn folders<'a>(images: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let images = images.into_iter().map(PathBuf::as_path);
        Self {
            file: None,
            numbers: Numbers::default(),
            source: Source::Folders(Directories::named(images)),
        }
    }

    /// Takes the class id of an image from the place of its directory among the sorted `names`, as torchvision's
    /// `ImageFolder` does.
    pub fn sorted_folders(names: Vec<String>) -> Self {
        Self {
            file: None,
            // The places in the order.
            numbers: Numbers::Ids,
            source: Source::Folders(Directories::sorted(names)),
        }
    }

    /// Does [`folders`](Self::folders) without a decision of the user.
    ///
    /// # Errors
    ///
    /// [`GroundTruthError::NumberedDirectories`] if the directories are numbers that could be meant otherwise.
    pub fn detected_folders(images: &[PathBuf]) -> Result<Self, GroundTruthError> {
        check_numbers(images)?;
        Ok(Self::folders(images))
    }

    /// States the meaning of numbers.
    #[must_use]
    pub const fn of_numbers(mut self, numbers: Numbers) -> Self {
        self.numbers = numbers;
        self
    }

    /// Names the file that was read, for reports.
    #[must_use]
    pub fn of_file(mut self, name: String) -> Self {
        self.file = Some(name);
        self
    }

    /// Returns the form, and the extent for `images`.
    pub fn summary(&self, images: &[PathBuf]) -> TruthSummary {
        let mut classes = BTreeSet::new();
        let mut count = 0;
        for written in images.iter().filter_map(|image| self.written(image)) {
            count += 1;
            let parts = written.iter().flat_map(|class| class.split(SEPARATORS));
            for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
                if !classes.contains(part) {
                    classes.insert(part.to_owned());
                }
            }
        }
        TruthSummary {
            form: match &self.source {
                Source::Entries { form, .. } => *form,
                Source::Folders(directories) => directories.form(),
            },
            file: self.file.clone(),
            classes: classes.len(),
            images: count,
        }
    }

    /// Checks directories in alphabetical order against the classes of a model.
    ///
    /// # Errors
    ///
    /// [`GroundTruthError::DirectoryCount`] and [`GroundTruthError::DirectoryOrder`].
    pub fn check_directories(
        &self,
        lookup: &ClassLookup,
        classes: Option<usize>,
    ) -> Result<(), GroundTruthError> {
        match &self.source {
            Source::Folders(directories) => directories.check(lookup, classes),
            Source::Entries { .. } => Ok(()),
        }
    }

    /// Returns the classes of `image` as they are written; `None` if the ground truth does not mention it.
    pub fn written(&self, image: &Path) -> Option<Vec<Cow<'_, str>>> {
        match &self.source {
            Source::Folders(directories) => Some(vec![directories.written(image)?.into()]),
            Source::Entries { entries, form, .. } => {
                let entry = find(entries, image, *form)?;
                let classes = entries.classes(&entry)?;
                Some(classes.map(Cow::Borrowed).collect())
            }
        }
    }

    /// Has `lookup` find these classes, for a model with `count` classes: all numbers are ids, or all are labels. `images`
    /// tell the names of directories.
    #[must_use]
    pub fn found_by(
        &self,
        lookup: ClassLookup,
        images: &[PathBuf],
        count: Option<usize>,
    ) -> ClassLookup {
        let classes = self.distinct(images);
        let classes = classes.iter().map(|class| &**class);
        let are_directories = matches!(self.source, Source::Folders(_));
        lookup.of(self.numbers, classes, are_directories, count)
    }

    /// Returns the different classes as they are written: those of the file, or of the directories of `images`.
    fn distinct(&self, images: &[PathBuf]) -> BTreeSet<Cow<'_, str>> {
        match &self.source {
            Source::Folders(directories) => {
                let written = images.iter().filter_map(|image| directories.written(image));
                written.map(Cow::Owned).collect()
            }
            Source::Entries { entries, .. } => entries.distinct().map(Cow::Borrowed).collect(),
        }
    }

    /// Returns the same as [`written`](Self::written), and reserves the entry for this image.
    ///
    /// # Errors
    ///
    /// If another image has taken the entry, or no directory could name the class.
    pub fn take(&mut self, image: &Path) -> Result<Option<Vec<Cow<'_, str>>>, GroundTruthError> {
        match &mut self.source {
            Source::Folders(_) if image.parent().and_then(Path::file_name).is_none() => {
                return Err(GroundTruthError::NoDirectory);
            }
            Source::Folders(_) => {}
            Source::Entries {
                entries,
                used,
                form,
            } => {
                let Some(entry) = find(entries, image, *form) else {
                    return Ok(None);
                };
                let earlier = used.entry(entry.into()).or_insert_with(|| image.to_owned());
                if earlier != image {
                    return Err(GroundTruthError::SharedEntry {
                        earlier: earlier.clone(),
                    });
                }
            }
        }
        Ok(self.written(image))
    }

    /// Checks that an image is mentioned, and that no entry fits several images.
    ///
    /// # Errors
    ///
    /// [`GroundTruthError::NoImages`] and [`GroundTruthError::SharedEntries`], or [`GroundTruthError::NoDirectory`] where
    /// directories name the classes.
    pub fn check_images(&self, images: &[PathBuf]) -> Result<(), GroundTruthError> {
        let has_classes = images.iter().any(|image| self.written(image).is_some());
        match &self.source {
            Source::Folders(_) if has_classes => Ok(()),
            Source::Folders(_) => Err(GroundTruthError::NoDirectory),
            Source::Entries { entries, form, .. } if has_classes => {
                check_shared(entries, *form, images)
            }
            Source::Entries { entries, .. } => Err(GroundTruthError::NoImages {
                images: images.len(),
                image: images.first().cloned().unwrap_or_default(),
                entry: most_alike(entries, images.first()),
            }),
        }
    }

    /// Returns the directory of all `images`, if directories name the classes and several images share a single one:
    /// the images are then probably not sorted by class.
    pub fn only_directory(&self, images: &[PathBuf]) -> Option<String> {
        let Source::Folders(_) = self.source else {
            return None;
        };
        let (first, others) = images.split_first()?;
        let directory = first.parent()?;
        let is_only = !others.is_empty() && others.iter().all(|it| it.parent() == Some(directory));
        let name = directory.file_name()?.to_string_lossy();
        is_only.then(|| name.into_owned())
    }

    /// Checks a file for a model whose classes exclude each other.
    ///
    /// # Errors
    ///
    /// For an image with several classes.
    pub fn check_single(&self, lookup: &ClassLookup) -> Result<(), GroundTruthError> {
        let Source::Entries { entries, .. } = &self.source else {
            return Ok(());
        };
        let several = entries.images().filter_map(|name| {
            let mut classes = entries.classes(name)?;
            if classes.len() == 1 && !classes.any(|class| class.contains(SEPARATORS)) {
                return None;
            }
            let written: Vec<&str> = entries.classes(name)?.collect();
            let is_several = lookup.find(&written, None).ok()?.len() > 1;
            is_several.then_some((entries.last_line(name)?, name))
        });
        let Some((line, name)) = several.min() else {
            return Ok(());
        };
        let classes = entries.classes(name).into_iter().flatten();
        Err(GroundTruthError::SeveralClasses {
            line,
            image: name.to_owned(),
            classes: classes.map(str::to_owned).collect(),
        })
    }

    /// Returns the entries that no image has taken, sorted.
    pub fn surplus(&self) -> Vec<&Path> {
        let Source::Entries { entries, used, .. } = &self.source else {
            return Vec::new();
        };
        let mut surplus: Vec<&Path> = entries
            .images()
            .filter(|path| !used.contains_key(path.as_os_str()))
            .collect();
        surplus.sort();
        surplus
    }
}

/// Checks that no entry fits several images.
fn check_shared(
    entries: &Entries,
    form: TruthForm,
    images: &[PathBuf],
) -> Result<(), GroundTruthError> {
    let mut taken: HashMap<OsString, &Path> = HashMap::new();
    let mut shared: BTreeSet<PathBuf> = BTreeSet::new();
    let mut first: Option<(PathBuf, [PathBuf; 2])> = None;
    for image in images {
        let Some(entry) = find(entries, image, form) else {
            continue;
        };
        let earlier = *taken.entry(entry.clone().into_os_string()).or_insert(image);
        if earlier == image {
            continue;
        }
        first.get_or_insert_with(|| (entry.clone(), [earlier.to_owned(), image.clone()]));
        shared.insert(entry);
    }
    match first {
        None => Ok(()),
        Some((entry, images)) => Err(GroundTruthError::SharedEntries {
            entry,
            images: Box::new(images),
            others: shared.len() - 1,
        }),
    }
}

/// Returns the entry whose file name is most like that of an image.
fn most_alike(entries: &Entries, image: Option<&PathBuf>) -> PathBuf {
    let name = |path: &Path| {
        let path = path.to_string_lossy().to_lowercase();
        path.rsplit(['/', '\\'])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let stem = |path: &Path| {
        let name = name(path);
        name.split_once('.')
            .map_or(name.clone(), |(stem, _)| stem.to_owned())
    };
    let meant = image.map(|image| stem(image)).unwrap_or_default();
    let alike = entries.images().filter(|entry| stem(entry) == meant).min();
    alike
        .or_else(|| entries.images().min())
        .map(Path::to_owned)
        .unwrap_or_default()
}

/// Returns the entry for an image.
fn find(entries: &Entries, image: &Path, form: TruthForm) -> Option<PathBuf> {
    match form {
        // Its ids are names without an ending.
        TruthForm::LocSolution => {
            let id = image.file_stem()?;
            entries.contains(id).then(|| id.into())
        }
        // Classes of an image are those next to it.
        TruthForm::ArchiveMembers => entries
            .contains(image.as_os_str())
            .then(|| image.to_owned()),
        _ => entries.longest_end(image),
    }
}

#[cfg(test)]
mod tests {
    use image_classification::Labels;

    use super::*;

    const LABELS: [&str; 3] = ["tench, Tinca tinca", "tiger shark", "tabby cat"];

    fn lookup<const N: usize>(labels: [&str; N], offset: i64) -> ClassLookup {
        let labels = Labels::from_names(labels.map(str::to_owned).to_vec());
        ClassLookup::new(Some(&labels), offset)
    }

    fn parse(text: &str) -> Result<GroundTruth, GroundTruthError> {
        GroundTruth::read(text.as_bytes())
    }

    /// Returns the classes of `image`; `None` if the ground truth does not mention it.
    fn classes(truth: &mut GroundTruth, lookup: &ClassLookup, image: &str) -> Option<Vec<usize>> {
        let written = truth.take(Path::new(image)).unwrap()?;
        Some(lookup.classes(&written, Some(3)).unwrap())
    }

    fn error(lookup: &ClassLookup, class: &str) -> GroundTruthError {
        lookup.classes(&[class], Some(3)).unwrap_err()
    }

    #[test]
    fn every_form_is_read() {
        for text in [
            "a.jpg 2\nb.jpg 1\n",
            "a.jpg\ttabby cat\r\nb.jpg\tTiger Shark\n",
            "a.jpg\t2\nb.jpg\ttiger_shark\n",
            "path,class_id\na.jpg,2\nb.jpg,1\n",
            "x,label,Image\n0,\"tabby cat\",a.jpg\n0,tiger shark,b.jpg\n",
            "\n# a comment\n./a.jpg 2\n\nb.jpg   1\n",
            "# a comment\nfilename\tclass\na.jpg\t2\nb.jpg\t1\n",
            "# columns: path,label\npath,label\na.jpg,2\nb.jpg,1\n",
        ] {
            let mut truth = parse(text).unwrap();
            let lookup = lookup(LABELS, 0);
            let mut of = |image| classes(&mut truth, &lookup, image);
            assert_eq!(of("photos/a.jpg"), Some(vec![2]), "{text}");
            assert_eq!(of("c.jpg"), None, "{text}");
            assert_eq!(truth.surplus(), [Path::new("b.jpg")], "{text}");
            let of_b = classes(&mut truth, &lookup, "b.jpg");
            assert_eq!(of_b, Some(vec![1]), "{text}");
            assert!(truth.surplus().is_empty());
            truth.check_single(&lookup).unwrap();
        }
    }

    #[test]
    fn several_classes_stand_on_several_lines_or_in_one_cell() {
        for text in [
            "a.jpg 2\na.jpg 0\na.jpg 2\n",
            "a.jpg 0|2\n",
            "a.jpg\ttabby cat; Tinca tinca\n",
            "path,label\na.jpg,0\na.jpg,tabby cat\n",
            "path,label\na.jpg,2;0;\n",
            "image,labels\na.jpg,tabby cat|tench\n",
        ] {
            let mut truth = parse(text).unwrap();
            let lookup = lookup(LABELS, 0);
            let found = classes(&mut truth, &lookup, "a.jpg");
            assert_eq!(found, Some(vec![0, 2]), "{text}");
            let error = truth.check_single(&lookup).unwrap_err().to_string();
            assert!(error.contains("a.jpg has the classes"), "{error}");
        }
    }

    #[test]
    fn a_label_with_a_separator_is_one_class() {
        let lookup = lookup(["black; white", "black", "white"], 0);
        assert_eq!(lookup.classes(&["Black; White"], Some(3)).unwrap(), [0]);
        assert_eq!(lookup.classes(&["white;black"], Some(3)).unwrap(), [1, 2]);
    }

    #[test]
    fn an_empty_cell_is_an_image_without_classes() {
        let mut truth = parse("path,label\na.jpg,\nb.jpg,1\n").unwrap();
        let lookup = lookup(LABELS, 0);
        assert_eq!(classes(&mut truth, &lookup, "a.jpg"), Some(vec![]));
    }

    #[test]
    fn one_class_by_id_and_by_name_is_one_class() {
        let truth = parse("a.jpg 2\na.jpg tabby_cat\n").unwrap();
        truth.check_single(&lookup(LABELS, 0)).unwrap();
    }

    #[test]
    fn each_run_finds_names_in_its_own_labels() {
        let mut truth = parse("a.jpg\ttabby cat\n").unwrap();
        let [one, other] = [
            lookup(LABELS, 0),
            lookup(["tabby cat", "tench", "shark"], 0),
        ];
        assert_eq!(classes(&mut truth, &one, "a.jpg"), Some(vec![2]));
        assert_eq!(classes(&mut truth, &other, "a.jpg"), Some(vec![0]));
        let none = ClassLookup::new(None, 0);
        let written = truth.written(Path::new("a.jpg")).unwrap();
        assert_eq!(none.needs_labels(&written), Some("tabby cat"));
        assert_eq!(one.needs_labels(&written), None);
        assert_eq!(none.needs_labels(&["1|2".into()]), None);
    }

    #[test]
    fn the_longest_end_of_a_path_decides() {
        let text = "a.jpg 0\nval/a.jpg 1\na name with blanks.jpg 2\n";
        let mut truth = parse(text).unwrap();
        let lookup = lookup(LABELS, 0);
        let mut of = |image| classes(&mut truth, &lookup, image);
        assert_eq!(of("data/val/a.jpg"), Some(vec![1]));
        assert_eq!(of("data/train/a.jpg"), Some(vec![0]));
        assert_eq!(of("data/a name with blanks.jpg"), Some(vec![2]));
    }

    #[test]
    fn nothing_is_taken_for_something_else() {
        let labels = ["Cardigan, Welsh corgi", "cardigan", "crane", "crane, bird"];
        let birds = lookup(labels, 0);
        let of = |class: &str| birds.classes(&[class], Some(4)).unwrap();
        assert_eq!(of("cardigan"), [1]);
        assert_eq!(of("Welsh_Corgi"), [0]);
        assert_eq!(of("bird"), [3]);
        let error = error(&lookup(["crane", "crane"], 0), "crane").to_string();
        assert!(error.contains("0 and 1"), "{error}");
        let mut lines = parse("1.jpg 2\n").unwrap();
        let lookup = lookup(LABELS, 0);
        for _ in 0..2 {
            assert_eq!(classes(&mut lines, &lookup, "a/1.jpg"), Some(vec![2]));
        }
        let error = lines.take(Path::new("b/1.jpg")).unwrap_err();
        assert!(error.to_string().contains("a/1.jpg"), "{error}");
    }

    #[test]
    fn images_and_entries_have_to_fit_before_work_starts() {
        let truth = GroundTruth::read("0.jpg 1\n1.jpg 1\nb/2.jpg 1\n9.PNG 1\n".as_bytes()).unwrap();
        let check = |images: &[&str]| {
            let images: Vec<PathBuf> = images.iter().map(PathBuf::from).collect();
            truth
                .check_images(&images)
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            check(&["a/0.jpg", "a/0.jpg", "b/1.jpg", "b/2.jpg", "c/2.jpg"]),
            Ok(())
        );
        let shared = "the entry \"0.jpg\" of the ground truth fits several images, such as a/0.jpg and b/0.jpg";
        assert_eq!(
            check(&["a/0.jpg", "b/0.jpg", "c/0.jpg"]),
            Err(shared.to_owned())
        );
        let several = check(&["a/0.jpg", "b/0.jpg", "a/1.jpg", "c/1.jpg"]);
        assert_eq!(several, Err(format!("{shared}; so does another entry")));
        for (image, entry) in [
            ("x/9.png", "9.PNG"),
            ("x/0.jpeg", "0.jpg"),
            ("y.jpg", "0.jpg"),
        ] {
            let words =
                format!("(1): it has an entry for \"{entry}\", and an image is \"{image}\"");
            assert!(check(&[image]).unwrap_err().ends_with(&words), "{words}");
        }
    }

    #[test]
    fn long_classes_are_refused_and_long_cells_take_no_time() {
        let long = "y".repeat(1_000_000);
        for text in [
            format!("b.jpg 1\na.jpg\t{long}\n"),
            format!("path,label\na.jpg,\"1|{long}\"\n"),
            format!("path,label\na.jpg,{long};1\n"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            let expected = "line 2 has a class of 1000000 bytes, more than 16384";
            assert_eq!(error, expected);
        }
        let error = parse(&long).unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
        // No class of the cell is long, but together they are.
        let text = format!(
            "path,label\na.jpg,{}\n",
            "tench|yyyyyyyyyyyyyyyy|".repeat(50_000)
        );
        let mut truth = parse(&text).unwrap();
        let written = truth.take(Path::new("a.jpg")).unwrap().unwrap();
        let names = (0..1000).map(|number| format!("{} {number}", "y ".repeat(2000)));
        let lookup = ClassLookup::new(Some(&Labels::from_names(names.collect())), 0);
        let start = std::time::Instant::now();
        lookup.classes(&written, Some(1000)).unwrap_err();
        let seconds = start.elapsed().as_secs();
        assert!(seconds < 10, "{seconds} s");
    }

    #[test]
    fn folders_and_offsets() {
        let mut folders = GroundTruth::folders([]);
        let lookup = lookup(["tench, Tinca tinca", "shark"], 1);
        let mut of = |image| classes(&mut folders, &lookup, image);
        assert_eq!(of("data/tinca_tinca/1.jpg"), Some(vec![0]));
        assert_eq!(of("data/1/1.jpg"), Some(vec![2]));
        assert_eq!(of("data/tinca_tinca.tar/1.jpg"), Some(vec![0]));
        assert!(folders.take(Path::new("1.jpg")).is_err());
        let beyond = error(&lookup, "2").to_string();
        assert!(
            beyond.contains("0 to 2") && beyond.contains("offset 1"),
            "{beyond}"
        );
        let hint = error(&lookup, "sharc").hint();
        assert!(hint.contains("\"shark\""), "{hint}");
        // The number of classes is unknown for a model that gives class ids.
        assert_eq!(lookup.classes(&["900"], None).unwrap(), [901]);
        assert!(lookup.classes(&["-2"], None).is_err());
    }

    #[test]
    fn errors_name_the_line() {
        for (text, words) in [
            ("", "no entries"),
            ("a.jpg\n", "line 1"),
            ("a.jpg 1\nb.jpg\n", "line 2"),
            ("path,label\na.jpg\n", "line 2"),
            ("# above\n\npath,label\na.jpg\n", "line 4"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.hint().contains("path,class_id"));
        }
        let truth = parse("b.jpg 0\na.jpg 1\nc.jpg 1\na.jpg 2\nb.jpg 1\n").unwrap();
        let error = truth.check_single(&ClassLookup::new(None, 0)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("line 4: a.jpg has the classes \"1\" and \"2\""),
            "{text}"
        );
    }

    #[test]
    fn classes_of_other_images_are_not_compared_with_all_labels() {
        // To compare so many would not end.
        let class = format!("{}|{}", "x".repeat(120), "y".repeat(120));
        let entries = (0..100_000).map(|number| format!("{number}.jpg\t{class}{number}\n"));
        let truth = parse(&entries.collect::<String>()).unwrap();
        let names = (0..1000).map(|number| format!("{}{number}", "z".repeat(240)));
        let lookup = ClassLookup::new(Some(&Labels::from_names(names.collect())), 0);
        truth.check_single(&lookup).unwrap();
    }

    #[test]
    fn members_are_found_by_their_exact_names() {
        let member = |name: &str, class: &str| (PathBuf::from(name), vec![class.to_owned()]);
        let mut truth = GroundTruth::members([
            member("x.tar/1.jpg", "0"),
            member("x.tar/./1.jpg", "1"),
            member("x.tar/d//1.jpg", "2"),
        ]);
        let lookup = lookup(LABELS, 0);
        let mut of = |image| classes(&mut truth, &lookup, image);
        assert_eq!(of("x.tar/1.jpg"), Some(vec![0]));
        assert_eq!(of("x.tar/./1.jpg"), Some(vec![1]));
        // They have no classes of their own.
        for image in ["x.tar/d/1.jpg", "x.tar//1.jpg", "other/x.tar/1.jpg"] {
            assert_eq!(of(image), None, "{image}");
        }
        assert_eq!(truth.surplus(), [Path::new("x.tar/d//1.jpg")]);
    }
}
