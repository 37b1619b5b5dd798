//! Ground truth: the classes that each image shows.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use image_classification::Labels;

use super::error::GroundTruthError;

/// 256 MiB are about five million images.
const MOST_BYTES: u64 = 256 << 20;
/// Headers that name the image's column and the class's, in any case.
const IMAGE_COLUMNS: [&str; 9] = [
    "path",
    "file",
    "filename",
    "file_name",
    "image",
    "image_path",
    "picture",
    "name",
    "id",
];
const CLASS_COLUMNS: [&str; 14] = [
    "class_id",
    "class_ids",
    "class",
    "classes",
    "label_id",
    "label_ids",
    "label",
    "labels",
    "truth",
    "target",
    "targets",
    "category",
    "tags",
    "synset",
];
/// Characters between several classes of an image.
const SEPARATORS: [char; 2] = ['|', ';'];
/// The longest class, in bytes: a label has at most as many characters.
const LONGEST_CLASS: usize = 4 * 4096;
/// The longest name that is compared with all labels to find the one that was meant: the time grows with the product
/// of the lengths.
const LONGEST_MEANT: usize = 256;

/// The classes of each image as they are written. It is the same for all runs; [`ClassLookup`] finds a run's classes.
#[derive(Debug)]
pub struct GroundTruth {
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// The entries of a file by the image's name, as it is written.
    Entries {
        entries: HashMap<PathBuf, Entry>,
        /// The image that took each entry.
        used: BTreeMap<PathBuf, PathBuf>,
    },
    /// The directory that contains an image.
    Folders,
}

/// The classes of an image in a file, each with its line.
type Entry = Vec<(usize, String)>;

impl GroundTruth {
    /// The largest file that is read, in bytes.
    pub const MOST_BYTES: u64 = MOST_BYTES;

    /// Reads a file. Lines are `name class`, `path<TAB>label name`, or CSV with a header. Several classes of an image
    /// are on several lines, or on one line with `|` or `;` between them.
    ///
    /// # Errors
    ///
    /// For a file that cannot be read or is larger than [`MOST_BYTES`](Self::MOST_BYTES), and a line without a class.
    pub fn read(file: impl Read) -> Result<Self, GroundTruthError> {
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(GroundTruthError::TooLarge { limit: MOST_BYTES });
        }
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        Self::parse(text)
    }

    fn parse(text: &str) -> Result<Self, GroundTruthError> {
        Ok(Self {
            source: Source::Entries {
                entries: lines(text)?,
                used: BTreeMap::new(),
            },
        })
    }

    /// The directory of each image names its class.
    pub const fn folders() -> Self {
        Self {
            source: Source::Folders,
        }
    }

    /// The classes of `image` as they are written; `None` if the ground truth does not mention it.
    pub fn written(&self, image: &Path) -> Option<Vec<Cow<'_, str>>> {
        match &self.source {
            Source::Folders => {
                let folder = image.parent().and_then(Path::file_name)?;
                Some(vec![folder.to_string_lossy().into_owned().into()])
            }
            Source::Entries { entries, .. } => {
                let entry = &entries[&find(entries, image)?];
                let classes = entry.iter().map(|(_, class)| Cow::Borrowed(&**class));
                Some(classes.collect())
            }
        }
    }

    /// Returns the same as [`written`](Self::written), and reserves the entry for this image.
    ///
    /// # Errors
    ///
    /// If another image has taken the entry, or no directory could name the class.
    pub fn take(&mut self, image: &Path) -> Result<Option<Vec<Cow<'_, str>>>, GroundTruthError> {
        match &mut self.source {
            Source::Folders if image.parent().and_then(Path::file_name).is_none() => {
                return Err(GroundTruthError::NoDirectory);
            }
            Source::Folders => {}
            Source::Entries { entries, used } => {
                let Some(entry) = find(entries, image) else {
                    return Ok(None);
                };
                let earlier = used.entry(entry).or_insert_with(|| image.to_owned());
                if earlier != image {
                    return Err(GroundTruthError::SharedEntry {
                        earlier: earlier.clone(),
                    });
                }
            }
        }
        Ok(self.written(image))
    }

    /// Checks that an image is mentioned.
    ///
    /// # Errors
    ///
    /// [`GroundTruthError::NoImages`], or [`GroundTruthError::NoDirectory`] where directories name the classes.
    pub fn check_images(&self, images: &[PathBuf]) -> Result<(), GroundTruthError> {
        if images.iter().any(|image| self.written(image).is_some()) {
            return Ok(());
        }
        Err(match self.source {
            Source::Folders => GroundTruthError::NoDirectory,
            Source::Entries { .. } => GroundTruthError::NoImages {
                images: images.len(),
            },
        })
    }

    /// Returns the directory of all `images`, if directories name the classes and several images share a single one: the
    /// images are then probably not sorted by class.
    pub fn only_directory(&self, images: &[PathBuf]) -> Option<String> {
        let Source::Folders = self.source else {
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
        let may_be_several = |entry: &Entry| match &**entry {
            [(_, class)] => class.contains(SEPARATORS),
            classes => !classes.is_empty(),
        };
        let entries = entries.iter().filter(|(_, entry)| may_be_several(entry));
        let several = entries.filter_map(|(name, entry)| {
            let written: Vec<&str> = entry.iter().map(|(_, class)| &**class).collect();
            let is_several = lookup.classes(&written, None).ok()?.len() > 1;
            let (line, _) = entry.last()?;
            is_several.then_some((*line, name, written))
        });
        let Some((line, name, written)) = several.min() else {
            return Ok(());
        };
        Err(GroundTruthError::SeveralClasses {
            line,
            image: name.clone(),
            classes: written.into_iter().map(str::to_owned).collect(),
        })
    }

    /// Returns the entries that no image has taken, sorted.
    pub fn surplus(&self) -> Vec<&Path> {
        let Source::Entries { entries, used } = &self.source else {
            return Vec::new();
        };
        let mut surplus: Vec<&Path> = entries
            .keys()
            .filter(|path| !used.contains_key(*path))
            .map(PathBuf::as_path)
            .collect();
        surplus.sort();
        surplus
    }
}

/// Finds the classes of one run by its own labels, or as places in its own output.
#[derive(Debug)]
pub struct ClassLookup {
    has_labels: bool,
    /// The classes with each name: whole labels as they are written, whole labels in any case, parts of
    /// labels.
    names: [HashMap<String, Vec<usize>>; 3],
    offset: i64,
}

impl ClassLookup {
    /// `offset` is added to ids.
    pub fn new(labels: Option<&Labels>, offset: i64) -> Self {
        let mut names: [HashMap<String, Vec<usize>>; 3] = Default::default();
        for class_id in 0..labels.map_or(0, Labels::len) {
            let label = labels.and_then(|labels| labels.get(class_id));
            let label = label.unwrap_or_default();
            let mut add = |kind: usize, name: String| {
                let classes = names[kind].entry(name).or_default();
                if classes.last() != Some(&class_id) {
                    classes.push(class_id);
                }
            };
            add(0, label.trim().to_owned());
            add(1, key(label));
            // `tabby, tabby cat` is found by each part, too.
            for part in label.split(',') {
                add(2, key(part));
            }
        }
        Self {
            has_labels: labels.is_some(),
            names,
            offset,
        }
    }

    /// Returns the first class of `written` that needs labels, if there are none.
    pub fn needs_labels<'a>(&self, written: &'a [Cow<'_, str>]) -> Option<&'a str> {
        let mut parts = written.iter().flat_map(|class| class.split(SEPARATORS));
        parts.find(|part| {
            !self.has_labels && !part.trim().is_empty() && part.trim().parse::<i64>().is_err()
        })
    }

    /// The classes that `written` names, ascending, for a model with `count` classes, if that is known.
    ///
    /// # Errors
    ///
    /// For a class that the model does not have.
    pub fn classes(
        &self,
        written: &[impl AsRef<str>],
        count: Option<usize>,
    ) -> Result<Vec<usize>, GroundTruthError> {
        let mut classes = BTreeSet::new();
        for class in written.iter().map(AsRef::as_ref) {
            match self.class(class, count) {
                Ok(class) => {
                    classes.insert(class);
                }
                Err(
                    GroundTruthError::OutOfRange { .. } | GroundTruthError::UnknownClass { .. },
                ) if class.contains(SEPARATORS) => {
                    let parts = class.split(SEPARATORS).map(str::trim);
                    for part in parts.filter(|part| !part.is_empty()) {
                        classes.insert(self.class(part, count)?);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(classes.into_iter().collect())
    }

    fn class(&self, class: &str, count: Option<usize>) -> Result<usize, GroundTruthError> {
        if let Ok(id) = class.trim().parse::<i64>() {
            let shifted = id
                .checked_add(self.offset)
                .and_then(|id| usize::try_from(id).ok());
            let shifted = shifted.filter(|id| count.is_none_or(|count| *id < count));
            return shifted.ok_or(GroundTruthError::OutOfRange {
                id,
                offset: self.offset,
                count,
            });
        }
        let exact = class.trim().to_owned();
        let any_case = key(class);
        let mut found = [&exact, &any_case, &any_case].into_iter().zip(&self.names);
        match found
            .find_map(|(name, names)| names.get(name))
            .map(Vec::as_slice)
        {
            Some([id]) => return Ok(*id),
            Some(several) => {
                return Err(GroundTruthError::Ambiguous {
                    class: class.to_owned(),
                    ids: several.to_vec(),
                });
            }
            None => {}
        }
        let meant = key(class);
        let is_short = |name: &&String| name.len() <= LONGEST_MEANT;
        let names = self.names[2].keys().filter(is_short);
        let nearest = names
            .filter(|_| is_short(&&meant))
            .map(|name| (strsim::jaro_winkler(name, &meant), name))
            .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
            .filter(|(likeness, _)| *likeness > 0.85);
        Err(GroundTruthError::UnknownClass {
            class: class.to_owned(),
            has_labels: self.has_labels,
            nearest: nearest.map(|(_, name)| name.clone()),
        })
    }
}

/// Names are the same in any case, and with `_` for blanks.
pub(super) fn key(name: &str) -> String {
    name.trim().replace('_', " ").to_lowercase()
}

/// The entry for an image: its path as it is, or the longest end of it that is there.
fn find(entries: &HashMap<PathBuf, Entry>, image: &Path) -> Option<PathBuf> {
    if entries.contains_key(image) {
        return Some(image.to_owned());
    }
    let parts: Vec<_> = image.components().collect();
    (0..parts.len())
        .map(|start| parts[start..].iter().collect::<PathBuf>())
        .find(|end| entries.contains_key(end))
}

/// The beginning of a line that nobody wrote by hand.
fn shortened(line: &str) -> String {
    const MOST: usize = 200;
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn lines(text: &str) -> Result<HashMap<PathBuf, Entry>, GroundTruthError> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let mut entries: HashMap<PathBuf, Entry> = HashMap::new();
    let mut add = |number: usize, name: &str, class: &str| {
        let name = name.trim().trim_start_matches("./");
        let entry = entries.entry(PathBuf::from(name)).or_default();
        let class = class.trim();
        let longest = class.split(SEPARATORS).map(str::len).max();
        if let Some(bytes) = longest.filter(|bytes| *bytes > LONGEST_CLASS) {
            return Err(GroundTruthError::LongClass {
                line: number,
                bytes,
                limit: LONGEST_CLASS,
            });
        }
        if !class.is_empty() && entry.iter().all(|(_, earlier)| earlier != class) {
            entry.push((number, class.to_owned()));
        }
        Ok(())
    };
    let Some((above, first)) = lines.clone().next() else {
        return Err(GroundTruthError::Empty);
    };
    if let Some((image, class, delimiter)) = header(first) {
        // The lines above the header are comments.
        let comments = text.split_inclusive('\n').take(above).map(str::len);
        let text = &text[comments.sum::<usize>()..];
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(text.as_bytes());
        for record in reader.records() {
            let record = record.map_err(|error| GroundTruthError::Csv {
                detail: error.to_string(),
            })?;
            let number = record
                .position()
                .map_or(0, |position| above + position.line() as usize);
            let (Some(name), Some(class)) = (record.get(image), record.get(class)) else {
                return Err(GroundTruthError::TooFewColumns { line: number });
            };
            // An empty cell: an image that shows none of the classes.
            add(number, name, class)?;
        }
        return Ok(entries);
    }
    lines.try_for_each(|(index, line)| {
        let split = line.split_once('\t').or_else(|| {
            // The class is the last word: names of files may have blanks.
            line.trim_end().rsplit_once(char::is_whitespace)
        });
        match split {
            Some((name, class)) if !name.trim().is_empty() && !class.trim().is_empty() => {
                add(index + 1, name, class)
            }
            _ if line.trim().parse::<u64>().is_ok() => Err(GroundTruthError::ClassAlone {
                line: index + 1,
                text: shortened(line.trim()),
            }),
            _ => Err(GroundTruthError::Line {
                line: index + 1,
                text: shortened(line),
            }),
        }
    })?;
    Ok(entries)
}

/// The columns of the image and of the class, and the separator, if the line is a header.
fn header(line: &str) -> Option<(usize, usize, u8)> {
    let delimiter = if line.contains('\t') { '\t' } else { ',' };
    let columns: Vec<String> = line
        .split(delimiter)
        .map(|name| name.trim().trim_matches('"').to_ascii_lowercase())
        .collect();
    let position = |known: &[&str]| {
        let mut known = known.iter();
        known.find_map(|name| columns.iter().position(|column| column == name))
    };
    let (image, class) = (position(&IMAGE_COLUMNS)?, position(&CLASS_COLUMNS)?);
    (image != class).then_some((image, class, delimiter as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [&str; 3] = ["tench, Tinca tinca", "tiger shark", "tabby cat"];

    fn lookup<const N: usize>(labels: [&str; N], offset: i64) -> ClassLookup {
        let labels = Labels::from_names(labels.map(str::to_owned).to_vec());
        ClassLookup::new(Some(&labels), offset)
    }

    /// The classes of `image`; `None` if the ground truth does not mention it.
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
            let mut truth = GroundTruth::parse(text).unwrap();
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
            let mut truth = GroundTruth::parse(text).unwrap();
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
        let mut truth = GroundTruth::parse("path,label\na.jpg,\nb.jpg,1\n").unwrap();
        let lookup = lookup(LABELS, 0);
        assert_eq!(classes(&mut truth, &lookup, "a.jpg"), Some(vec![]));
    }

    #[test]
    fn one_class_by_id_and_by_name_is_one_class() {
        let truth = GroundTruth::parse("a.jpg 2\na.jpg tabby_cat\n").unwrap();
        truth.check_single(&lookup(LABELS, 0)).unwrap();
    }

    #[test]
    fn each_run_finds_names_in_its_own_labels() {
        let mut truth = GroundTruth::parse("a.jpg\ttabby cat\n").unwrap();
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
        let mut truth = GroundTruth::parse(text).unwrap();
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
        let mut lines = GroundTruth::parse("1.jpg 2\n").unwrap();
        let lookup = lookup(LABELS, 0);
        for _ in 0..2 {
            assert_eq!(classes(&mut lines, &lookup, "a/1.jpg"), Some(vec![2]));
        }
        let error = lines.take(Path::new("b/1.jpg")).unwrap_err();
        assert!(error.to_string().contains("a/1.jpg"), "{error}");
    }

    #[test]
    fn long_classes_are_refused_and_long_cells_take_no_time() {
        let long = "y".repeat(1_000_000);
        for text in [
            format!("b.jpg 1\na.jpg\t{long}\n"),
            format!("path,label\na.jpg,\"1|{long}\"\n"),
            format!("path,label\na.jpg,{long};1\n"),
        ] {
            let error = GroundTruth::parse(&text).unwrap_err().to_string();
            let expected = "line 2 has a class of 1000000 bytes, more than 16384";
            assert_eq!(error, expected);
        }
        let error = GroundTruth::parse(&long).unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
        // No class of the cell is long, but together they are.
        let text = format!(
            "path,label\na.jpg,{}\n",
            "tench|yyyyyyyyyyyyyyyy|".repeat(50_000)
        );
        let mut truth = GroundTruth::parse(&text).unwrap();
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
        let mut folders = GroundTruth::folders();
        let lookup = lookup(["tench, Tinca tinca", "shark"], 1);
        let mut of = |image| classes(&mut folders, &lookup, image);
        assert_eq!(of("data/tinca_tinca/1.jpg"), Some(vec![0]));
        assert_eq!(of("data/1/1.jpg"), Some(vec![2]));
        assert!(folders.take(Path::new("1.jpg")).is_err());
        let beyond = error(&lookup, "2").to_string();
        assert!(
            beyond.contains("0 to 2") && beyond.contains("offset 1"),
            "{beyond}"
        );
        let hint = error(&lookup, "sharc").hint();
        assert!(hint.contains("`shark`"), "{hint}");
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
            let error = GroundTruth::parse(text).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.hint().contains("path,class_id"));
        }
        let truth = GroundTruth::parse("b.jpg 0\na.jpg 1\nc.jpg 1\na.jpg 2\nb.jpg 1\n").unwrap();
        let error = truth.check_single(&ClassLookup::new(None, 0)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("line 4: a.jpg has the classes `1` and `2`"),
            "{text}"
        );
    }
}
