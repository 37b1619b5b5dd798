//! The columns of tables, and the keys of JSON, that name an image and its class.

use super::error::GroundTruthError;
use super::forms::{LINE, shortened};
use super::lookup::Numbers;

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
const CLASS_COLUMNS: [&str; 16] = [
    "class_id",
    "class_ids",
    "class_label",
    "class_labels",
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
/// Most columns of a table.
const MOST_COLUMNS: usize = 1024;

/// The columns of a table.
pub(super) struct Columns {
    /// The place of the image's column.
    pub image: usize,
    /// The place of the class's column.
    pub class: usize,
    pub delimiter: u8,
    /// The meaning of numbers.
    pub numbers: Numbers,
}

/// Returns the known column of the image.
pub(super) fn image_column<'a>(columns: &[&'a str]) -> Option<&'a str> {
    first(&IMAGE_COLUMNS, columns)
}

/// Returns the known column of the class in line `line`.
pub(super) fn class_column<'a>(
    line: usize,
    columns: &[&'a str],
) -> Result<Option<&'a str>, GroundTruthError> {
    let candidates = columns.iter().filter(|it| CLASS_COLUMNS.contains(*it));
    let candidates: Vec<&str> = candidates.copied().collect();
    let ids = candidates.iter().filter(|it| it.contains("_id"));
    let mut ids: Vec<&str> = ids.copied().collect();
    // A repeated column is another error.
    ids.dedup();
    // An id column and a name column describe the same class. Two of one kind may not.
    match (&*candidates, &*ids) {
        ([], _) => Ok(None),
        ([class], _) | (_, [class]) => Ok(Some(class)),
        _ => Err(GroundTruthError::ClassColumns {
            line,
            columns: candidates.into_iter().map(str::to_owned).collect(),
        }),
    }
}

fn first<'a>(known: &[&str], columns: &[&'a str]) -> Option<&'a str> {
    let mut known = known.iter();
    known.find_map(|name| columns.iter().copied().find(|column| column == name))
}

/// Returns the columns if `line` is a header. `requested` names the columns of the image and of the class.
pub(super) fn header(
    line: &str,
    number: usize,
    requested: Option<&[String; 2]>,
) -> Result<Option<Columns>, GroundTruthError> {
    let by_tabs = Cells::of(line, b'\t');
    let (delimiter, cells) = if by_tabs.names.len() > 1 {
        (b'\t', by_tabs)
    } else {
        (b',', Cells::of(line, b','))
    };
    check_columns(number, cells.names.len())?;
    let columns: Vec<&str> = cells.names.iter().map(String::as_str).collect();
    let image = image_column(&columns);
    if cells.is_open {
        let may_be_header =
            requested.is_some() || image.is_some() || first(&CLASS_COLUMNS, &columns).is_some();
        return if may_be_header {
            Err(GroundTruthError::OpenHeader { line: number })
        } else {
            Ok(None)
        };
    }
    let place = |name: &str| {
        let mut places = (0..columns.len()).filter(|place| columns[*place] == name);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(GroundTruthError::RepeatedColumn {
                line: number,
                column: name.to_owned(),
            }),
            (None, _) => Err(GroundTruthError::NoColumn {
                column: name.to_owned(),
                columns: columns.iter().map(|it| shortened(it, LINE)).collect(),
            }),
        }
    };
    let named = match requested {
        Some(names) => Some(names.each_ref().map(|name| name.to_ascii_lowercase())),
        None => match image {
            Some(image) => {
                class_column(number, &columns)?.map(|class| [image, class].map(str::to_owned))
            }
            None => None,
        },
    };
    let Some([image, class]) = named else {
        return Ok(None);
    };
    Ok(Some(Columns {
        image: place(&image)?,
        class: place(&class)?,
        delimiter,
        numbers: Numbers::of_column(&class),
    }))
}

pub(super) fn check_columns(line: usize, columns: usize) -> Result<(), GroundTruthError> {
    if columns <= MOST_COLUMNS {
        return Ok(());
    }
    Err(GroundTruthError::TooManyColumns {
        line,
        columns,
        limit: MOST_COLUMNS,
    })
}

/// The cells of a header, in lower case.
struct Cells {
    names: Vec<String>,
    /// True if the quotes of the last cell do not end on its line.
    is_open: bool,
}

impl Cells {
    /// Divides a line as the rows below it are divided.
    fn of(line: &str, delimiter: u8) -> Self {
        // Only a cell whose quotes do not end has this line break.
        let line = [line, "\n"].concat();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(delimiter)
            .from_reader(line.as_bytes());
        let mut record = csv::ByteRecord::new();
        // Bytes in memory can be read, and an empty line has no cells.
        let _ = reader.read_byte_record(&mut record);
        let name = |cell| {
            let name = String::from_utf8_lossy(cell);
            name.trim().trim_matches('"').to_ascii_lowercase()
        };
        Self {
            names: record.iter().map(name).collect(),
            is_open: record
                .iter()
                .next_back()
                .is_some_and(|it| it.ends_with(b"\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(line: &str) -> Option<(usize, usize)> {
        let columns = header(line, 1, None).unwrap()?;
        Some((columns.image, columns.class))
    }

    #[test]
    fn headers_are_divided_as_rows_are() {
        for (line, expected) in [
            ("file_name,label", Some((0, 1))),
            ("file_name,\"caption, en\",label,prediction", Some((0, 2))),
            ("\"a \"\"b\"\", c\",\"Label\",Path", Some((2, 1))),
            ("\"a\tb\",label,path", Some((2, 1))),
            ("\"a, b\tc\"\tlabel\tpath", Some((2, 1))),
            // The first column of a table of pandas has no name.
            ("\tpath\tlabel", Some((1, 2))),
            (",path,label", Some((1, 2))),
            ("path,class,label_id", Some((0, 2))),
            ("a.jpg 1", None),
            ("\"a b.jpg\" 1", None),
            ("\"a.jpg 1", None),
        ] {
            assert_eq!(places(line), expected, "{line}");
        }
        let columns = ["PATH".to_owned(), "my, class".to_owned()];
        let columns = header("\"x,y\",\"my, class\",path", 1, Some(&columns));
        let columns = columns.unwrap().unwrap();
        assert_eq!((columns.image, columns.class), (2, 1));
    }

    #[test]
    fn headers_with_two_readings_are_errors() {
        let columns = ["path".to_owned(), "label".to_owned()];
        let error = |line, requested| {
            let error = header(line, 3, requested).map(|_| ()).unwrap_err();
            error.to_string()
        };
        for (line, requested, expected) in [
            (
                "path,\"caption",
                None,
                "the quotes of the header in line 3 do not end on that line",
            ),
            (
                "\"caption",
                Some(&columns),
                "the quotes of the header in line 3 do not end on that line",
            ),
            (
                "path,label,category",
                None,
                "line 3: \"label\" and \"category\" could each be the class",
            ),
            (
                "path,class_id,label_id,label",
                None,
                "line 3: \"class_id\" and \"label_id\" and \"label\" could each be the class",
            ),
            (
                "path,label,label",
                None,
                "line 3: \"label\" and \"label\" could each be the class",
            ),
            (
                "path,label,Label",
                Some(&columns),
                "line 3 has several columns \"label\"",
            ),
            (
                "path,class_id,class_id",
                None,
                "line 3 has several columns \"class_id\"",
            ),
            (
                "path,path,label",
                None,
                "line 3 has several columns \"path\"",
            ),
        ] {
            assert_eq!(error(line, requested), expected, "{line}");
        }
    }
}
