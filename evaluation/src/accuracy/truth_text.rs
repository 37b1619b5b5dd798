//! The text of ground truth: lines, tables and JSON Lines.

use std::collections::HashMap;
use std::path::PathBuf;

use super::error::GroundTruthError;
use super::forms::{self, TruthForm};
use super::lookup::{Numbers, SEPARATORS};

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
/// The longest class, in bytes: a label has at most as many characters.
const LONGEST_CLASS: usize = 4 * 4096;

/// The classes of an image in a file, each with its line.
pub type Entry = Vec<(usize, String)>;

/// The most characters of a line in an error.
const LINE: usize = 200;

/// Returns the beginning of a line that nobody wrote by hand.
pub(super) fn shortened(line: &str, most: usize) -> String {
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Returns the entries of `text` by the image's name, their form, and the meaning of numbers. `requested` names the columns of the image and of
/// the class.
///
/// # Errors
///
/// The errors of [`GroundTruth::read`](super::GroundTruth::read).
pub fn parse(
    text: &str,
    requested: Option<&[String; 2]>,
) -> Result<(HashMap<PathBuf, Entry>, TruthForm, Numbers), GroundTruthError> {
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
    let first = first.trim();
    if forms::is_synset_words(first) {
        return Err(GroundTruthError::SynsetWords);
    }
    if first.starts_with('{') {
        let [image, class] = match requested {
            Some([image, class]) => [vec![image.as_str()], vec![class.as_str()]],
            None => [IMAGE_COLUMNS.to_vec(), CLASS_COLUMNS.to_vec()],
        };
        for (index, line) in lines {
            let (name, classes) = forms::json_line(index + 1, line, &image, &class)?;
            let name = name.to_string_lossy();
            // An image without classes has an entry, too.
            for class in classes.iter().map(String::as_str).chain([""]) {
                add(index + 1, &name, class)?;
            }
        }
        let key = class
            .iter()
            .find(|key| first.contains(&format!("\"{key}\"")));
        let numbers = match key.map(|key| Numbers::of_column(key)) {
            Some(Numbers::Ids) => Numbers::Ids,
            // A number and a text are different values there, of which neither is known to be an id.
            _ => Numbers::Unknown,
        };
        return Ok((entries, TruthForm::JsonLines, numbers));
    }
    let is_loc = forms::is_loc_header(first);
    let columns = if is_loc {
        Some((0, 1, b',', Numbers::Unknown))
    } else {
        header(first, requested)?
    };
    if let Some((image, class, delimiter, numbers)) = columns {
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
            if is_loc {
                let classes = forms::classes_of_boxes(class);
                let classes = classes.ok_or_else(|| GroundTruthError::Boxes {
                    line: number,
                    text: shortened(class, LINE),
                })?;
                for class in classes {
                    add(number, name, class)?;
                }
                continue;
            }
            // An empty cell: an image that shows none of the classes.
            add(number, name, class)?;
        }
        let form = if is_loc {
            TruthForm::LocSolution
        } else {
            TruthForm::Csv
        };
        return Ok((entries, form, numbers));
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
                text: shortened(line.trim(), LINE),
            }),
            _ => Err(GroundTruthError::Line {
                line: index + 1,
                text: shortened(line, LINE),
            }),
        }
    })?;
    Ok((entries, TruthForm::Lines, Numbers::Unknown))
}

/// The columns of the image and of the class, the separator, and the meaning of numbers, if the line is a header.
fn header(
    line: &str,
    requested: Option<&[String; 2]>,
) -> Result<Option<(usize, usize, u8, Numbers)>, GroundTruthError> {
    let delimiter = if line.contains('\t') { '\t' } else { ',' };
    let columns: Vec<String> = line
        .split(delimiter)
        .map(|name| name.trim().trim_matches('"').to_ascii_lowercase())
        .collect();
    if let Some(requested) = requested {
        let place = |name: &String| {
            let place = columns
                .iter()
                .position(|column| *column == name.to_ascii_lowercase());
            place.ok_or_else(|| GroundTruthError::NoColumn {
                column: name.clone(),
                columns: columns.clone(),
            })
        };
        let [image, class] = requested;
        let numbers = Numbers::of_column(class);
        return Ok(Some((
            place(image)?,
            place(class)?,
            delimiter as u8,
            numbers,
        )));
    }
    let position = |known: &[&str]| {
        let mut known = known.iter();
        known.find_map(|name| columns.iter().position(|column| column == name))
    };
    let Some((image, class)) = position(&IMAGE_COLUMNS).zip(position(&CLASS_COLUMNS)) else {
        return Ok(None);
    };
    if image == class {
        return Ok(None);
    }
    // A column of ids and one of names are the same classes; two of names may be different ones.
    let candidates = columns
        .iter()
        .filter(|it| CLASS_COLUMNS.contains(&it.as_str()));
    let candidates: Vec<String> = candidates.cloned().collect();
    if candidates.len() > 1 && !columns[class].contains("_id") {
        return Err(GroundTruthError::ClassColumns {
            columns: candidates,
        });
    }
    let numbers = Numbers::of_column(&columns[class]);
    Ok(Some((image, class, delimiter as u8, numbers)))
}
