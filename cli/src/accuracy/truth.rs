//! Ground truth: which class each picture shows.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use image_classification::Labels;

use crate::messages::{Hinted, printable};
use crate::pictures;

/// 256 MiB are about five million pictures.
const MOST_BYTES: u64 = 256 << 20;
/// Headers that name the picture's column and the class's, in any case.
const PICTURE_COLUMNS: [&str; 9] = [
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
const CLASS_COLUMNS: [&str; 8] = [
    "class_id", "class", "label_id", "label", "truth", "target", "category", "synset",
];

/// The class of each picture, by id or by name.
#[derive(Debug)]
pub struct Truth {
    source: Source,
    labels: Option<Labels>,
    /// The classes with each name: whole labels as they are written, whole labels in any case, parts of
    /// labels.
    names: [HashMap<String, Vec<usize>>; 3],
    offset: i64,
}

#[derive(Debug)]
enum Source {
    /// What each line says: the class by the picture's name, as it is written.
    Lines {
        classes: HashMap<PathBuf, String>,
        used: BTreeMap<PathBuf, PathBuf>,
    },
    /// The folder that a picture lies in.
    Folders,
}

/// What is known of a picture.
#[derive(Debug, PartialEq)]
pub enum Match {
    Class(usize),
    /// The ground truth does not mention it.
    Missing,
}

impl Truth {
    /// Reads a file. Lines are `name class`, `path<TAB>label name`, or CSV with a header.
    ///
    /// # Errors
    ///
    /// For a file that cannot be read, a line without a class, and a picture with two classes.
    pub fn read(path: &Path, labels: Option<Labels>, offset: i64) -> anyhow::Result<Self> {
        let what = |error: anyhow::Error| {
            error.context(format!("cannot use the ground truth {}", path.display()))
        };
        let bytes = pictures::read(path, MOST_BYTES).map_err(what)?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let classes = lines(text).map_err(what)?;
        Ok(Self::new(
            Source::Lines {
                classes,
                used: BTreeMap::new(),
            },
            labels,
            offset,
        ))
    }

    /// The folder of each picture names its class.
    pub fn folders(labels: Option<Labels>, offset: i64) -> Self {
        Self::new(Source::Folders, labels, offset)
    }

    fn new(source: Source, labels: Option<Labels>, offset: i64) -> Self {
        let mut names: [HashMap<String, Vec<usize>>; 3] = Default::default();
        if let Some(labels) = &labels {
            for class_id in 0..labels.len() {
                let label = labels.get(class_id).unwrap_or_default();
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
        }
        Self {
            source,
            labels,
            names,
            offset,
        }
    }

    /// The class that `picture` shows, for a model with `classes` classes.
    ///
    /// # Errors
    ///
    /// For a class that the model does not have.
    pub fn of(&mut self, picture: &Path, classes: usize) -> anyhow::Result<Match> {
        let class = match &mut self.source {
            Source::Folders => {
                let folder = picture.parent().and_then(Path::file_name).ok_or_else(|| {
                    Hinted::new(
                        "the picture lies in no folder that could name its class",
                        "give folders named after classes, or a --truth file",
                    )
                })?;
                folder.to_string_lossy().into_owned()
            }
            Source::Lines { classes, used } => {
                let Some(entry) = find(classes, picture) else {
                    return Ok(Match::Missing);
                };
                let class = classes[&entry].clone();
                let earlier = used.entry(entry).or_insert_with(|| picture.to_owned());
                if earlier != picture {
                    return Err(Hinted::new(
                        format!(
                            "the ground truth has one entry for this picture and for {}",
                            printable(&earlier.to_string_lossy())
                        ),
                        "write more of the paths into the ground truth",
                    )
                    .into());
                }
                class
            }
        };
        self.class(&class, classes).map(Match::Class)
    }

    fn class(&self, class: &str, classes: usize) -> anyhow::Result<usize> {
        if let Ok(id) = class.trim().parse::<i64>() {
            let shifted = id
                .checked_add(self.offset)
                .and_then(|id| usize::try_from(id).ok());
            return shifted.filter(|id| *id < classes).ok_or_else(|| {
                let offset = if self.offset == 0 { String::new() } else { format!(" with offset {}", self.offset) };
                Hinted::new(
                    format!("the ground truth says class {id}{offset}, but the model's classes are 0 to {}", classes - 1),
                    "check --label-offset and that the ground truth is for this model",
                )
                .into()
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
                let several: Vec<String> = several.iter().map(usize::to_string).collect();
                return Err(Hinted::new(
                    format!(
                        "the ground truth says `{}`, which is the name of the classes {}",
                        printable(class),
                        several.join(" and ")
                    ),
                    "write the class as an id",
                )
                .into());
            }
            None => {}
        }
        let nearest = self.names[2]
            .keys()
            .map(|name| (strsim::jaro_winkler(name, &key(class)), name))
            .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
            .filter(|(likeness, _)| *likeness > 0.85);
        let hint = match (&self.labels, nearest) {
            (None, _) => {
                "the model has no labels, so classes need ids; or pass --labels FILE".to_owned()
            }
            (Some(_), Some((_, name))) => format!("did you mean `{}`?", printable(name)),
            (Some(_), None) => {
                "write the class as an id or as one of the model's labels".to_owned()
            }
        };
        let class = printable(class);
        Err(Hinted::new(
            format!("the ground truth says `{class}`, which is no label of the model"),
            hint,
        )
        .into())
    }

    /// Entries that no picture has asked for, sorted.
    pub fn surplus(&self) -> Vec<&Path> {
        let Source::Lines { classes, used } = &self.source else {
            return Vec::new();
        };
        let mut surplus: Vec<&Path> = classes
            .keys()
            .filter(|path| !used.contains_key(*path))
            .map(PathBuf::as_path)
            .collect();
        surplus.sort();
        surplus
    }
}

/// Names are the same in any case, and with `_` for blanks.
fn key(name: &str) -> String {
    name.trim().replace('_', " ").to_lowercase()
}

/// The entry for a picture: its path as it is, or the longest end of it that is there.
fn find(classes: &HashMap<PathBuf, String>, picture: &Path) -> Option<PathBuf> {
    if classes.contains_key(picture) {
        return Some(picture.to_owned());
    }
    let parts: Vec<_> = picture.components().collect();
    (0..parts.len())
        .map(|start| parts[start..].iter().collect::<PathBuf>())
        .find(|end| classes.contains_key(end))
}

fn lines(text: &str) -> anyhow::Result<HashMap<PathBuf, String>> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let mut classes = HashMap::new();
    let mut add = |number: usize, name: &str, class: &str| -> anyhow::Result<()> {
        let name = name.trim().trim_start_matches("./");
        let earlier = classes.insert(PathBuf::from(name), class.trim().to_owned());
        if let Some(earlier) = earlier.filter(|earlier| earlier != class.trim()) {
            return Err(Hinted::new(
                format!(
                    "line {number}: {} has the classes `{}` and `{}`",
                    printable(name),
                    printable(&earlier),
                    printable(class.trim())
                ),
                "leave one of them out; pictures with several classes cannot be evaluated",
            )
            .into());
        }
        Ok(())
    };
    let Some((_, first)) = lines.clone().next() else {
        return Err(Hinted::new("it has no entries", FORM).into());
    };
    if let Some((picture, class, delimiter)) = header(first) {
        // What stands above the header are comments.
        let text = &text[text.find(first).unwrap_or(0)..];
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(text.as_bytes());
        for record in reader.records() {
            let record = record
                .map_err(|error| Hinted::new(format!("the CSV is damaged: {error}"), FORM))?;
            let number = record
                .position()
                .map_or(0, |position| position.line() as usize);
            let (Some(name), Some(class)) = (record.get(picture), record.get(class)) else {
                return Err(Hinted::new(format!("line {number} has too few columns"), FORM).into());
            };
            add(number, name, class)?;
        }
        return Ok(classes);
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
            _ => Err(
                Hinted::new(format!("line {} is `{}`", index + 1, printable(line)), FORM).into(),
            ),
        }
    })?;
    Ok(classes)
}

const FORM: &str = "write `name class` or `path<TAB>label` in each line, or CSV with a header such as path,class_id";

/// The columns of the picture and of the class, and what is between columns, if the line is a header.
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
    let (picture, class) = (position(&PICTURE_COLUMNS)?, position(&CLASS_COLUMNS)?);
    (picture != class).then_some((picture, class, delimiter as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(text: &str) -> Truth {
        let labels = Labels::from_names(
            ["tench, Tinca tinca", "tiger shark", "tabby cat"]
                .map(str::to_owned)
                .to_vec(),
        );
        let source = Source::Lines {
            classes: lines(text).unwrap(),
            used: BTreeMap::new(),
        };
        Truth::new(source, Some(labels), 0)
    }

    fn class(truth: &mut Truth, picture: &str) -> Match {
        truth.of(Path::new(picture), 3).unwrap()
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
        ] {
            let mut truth = truth(text);
            assert_eq!(class(&mut truth, "photos/a.jpg"), Match::Class(2), "{text}");
            assert_eq!(truth.surplus(), [Path::new("b.jpg")], "{text}");
            assert_eq!(class(&mut truth, "b.jpg"), Match::Class(1), "{text}");
            assert_eq!(class(&mut truth, "c.jpg"), Match::Missing, "{text}");
            assert!(truth.surplus().is_empty());
        }
    }

    #[test]
    fn the_longest_end_of_a_path_decides() {
        let mut truth = truth("a.jpg 0\nval/a.jpg 1\na name with blanks.jpg 2\n");
        assert_eq!(class(&mut truth, "data/val/a.jpg"), Match::Class(1));
        assert_eq!(class(&mut truth, "data/train/a.jpg"), Match::Class(0));
        assert_eq!(
            class(&mut truth, "data/a name with blanks.jpg"),
            Match::Class(2)
        );
    }

    #[test]
    fn nothing_is_taken_for_something_else() {
        let labels = ["Cardigan, Welsh corgi", "cardigan", "crane", "crane, bird"];
        let labels = Labels::from_names(labels.map(str::to_owned).to_vec());
        let mut folders = Truth::folders(Some(labels), 0);
        let of = |folders: &mut Truth, path: &str| folders.of(Path::new(path), 4);
        assert_eq!(of(&mut folders, "cardigan/1.jpg").unwrap(), Match::Class(1));
        assert_eq!(
            of(&mut folders, "Welsh_Corgi/1.jpg").unwrap(),
            Match::Class(0)
        );
        assert_eq!(of(&mut folders, "bird/1.jpg").unwrap(), Match::Class(3));
        let twice = Labels::from_names(["crane".to_owned(), "crane".to_owned()].to_vec());
        let error = Truth::folders(Some(twice), 0)
            .of(Path::new("crane/1.jpg"), 2)
            .unwrap_err();
        assert!(error.to_string().contains("0 and 1"), "{error}");
        let mut lines = truth("1.jpg 2\n");
        assert_eq!(class(&mut lines, "a/1.jpg"), Match::Class(2));
        assert_eq!(class(&mut lines, "a/1.jpg"), Match::Class(2));
        let error = lines.of(Path::new("b/1.jpg"), 3).unwrap_err();
        assert!(error.to_string().contains("a/1.jpg"), "{error}");
    }

    #[test]
    fn folders_and_offsets() {
        let labels =
            Labels::from_names(["tench, Tinca tinca", "shark"].map(str::to_owned).to_vec());
        let mut folders = Truth::folders(Some(labels), 1);
        assert_eq!(
            class(&mut folders, "data/tinca_tinca/1.jpg"),
            Match::Class(0)
        );
        assert_eq!(class(&mut folders, "data/1/1.jpg"), Match::Class(2));
        let error = folders
            .of(Path::new("data/2/1.jpg"), 3)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("0 to 2") && error.contains("offset 1"),
            "{error}"
        );
        let error = folders.of(Path::new("data/sharc/1.jpg"), 3).unwrap_err();
        assert!(crate::messages::hint(&error).unwrap().contains("`shark`"));
        assert!(folders.of(Path::new("1.jpg"), 3).is_err());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, words) in [
            ("", "no entries"),
            ("a.jpg\n", "line 1"),
            ("a.jpg 1\nb.jpg\n", "line 2"),
            ("a.jpg 1\na.jpg 2\n", "`1` and `2`"),
            ("path,label\na.jpg\n", "line 2"),
        ] {
            let error = lines(text).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(crate::messages::hint(&error).is_some());
        }
        lines("a.jpg 1\na.jpg 1\n").unwrap();
    }
}
