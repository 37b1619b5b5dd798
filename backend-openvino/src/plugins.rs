//! The plugins file: which plugins OpenVINO has, and under which names.

use std::io;
use std::path::{Path, PathBuf};

use backend_api::{Error, ErrorKind};
use model_file::ir;
use roxmltree::{Document, Node};

/// Real ones have some kilobytes.
const MOST_BYTES: u64 = 1 << 16;

/// A device name that is another name for a plugin: OpenVINO's proxy plugin answers to it.
///
/// An alias tests a device string from end to end; the hardware of that name is never used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alias {
    /// The device name: `MYRIAD`.
    pub device: String,
    /// The plugin that really executes: `CPU_A`.
    pub plugin: String,
    /// The library of the plugin.
    pub location: String,
}

/// The checked content of a plugins file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plugins {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// The names by which devices are requested; for an alias, the alias.
    pub names: Vec<String>,
    pub aliases: Vec<Alias>,
}

impl Plugins {
    /// Reads the plugins file, if there is one.
    ///
    /// OpenVINO looks for a relative location in several places; only absolute ones and plain file
    /// names, which are next to the file or next to OpenVINO itself, never lead to the current
    /// directory.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, Error> {
        let Some(file) = file else {
            return Ok(Self::default());
        };
        let wrong = |message: String| {
            Error::new(ErrorKind::InvalidConfig, message)
                .with_context("plugins", file.display())
                .with_hint("docs/devices.md shows a plugins file")
        };
        let unreadable = |source: io::Error| {
            wrong("the plugins file cannot be read".to_owned()).with_source(source)
        };
        let text = read(file).map_err(|source| match source.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge => wrong(format!(
                "the plugins file must be a regular file of at most {MOST_BYTES} bytes"
            )),
            _ => unreadable(source),
        })?;
        let document = ir::parse(&text).map_err(|source| {
            wrong("the plugins file is not XML".to_owned()).with_source(source)
        })?;
        let plugins: Vec<Node<'_, '_>> = plugins_in(&document).collect();
        if !document.root_element().has_tag_name("ie") || plugins.is_empty() {
            return Err(wrong(
                "the plugins file must hold `<ie><plugins><plugin name=… location=…/>…`".to_owned(),
            ));
        }
        let beside = std::path::absolute(file).map_err(unreadable)?;
        let (mut names, mut aliases) = (Vec::new(), Vec::new());
        for plugin in plugins {
            let attribute = |name: &str| {
                let value = plugin.attribute(name).filter(|value| !value.is_empty());
                value.ok_or_else(|| wrong(format!("a plugin in the plugins file has no {name}")))
            };
            let (name, location) = (attribute("name")?, attribute("location")?);
            let path = Path::new(location);
            let plain = path.file_name().is_some_and(|file| file == location);
            if !path.is_absolute() && !plain {
                return Err(wrong(format!(
                    "the location of plugin {name:?} is {location:?}, but it must be an absolute path or a plain file \
                     name"
                )));
            }
            // OpenVINO looks for a plain name next to the file first, then next to itself. A damaged
            // library would kill the process when it is loaded.
            let library = beside.with_file_name(path);
            if path.is_absolute() || library.is_file() {
                runtime_library::inspect(&library, None).map_err(|reason| {
                    wrong(format!(
                        "the library of plugin {name:?}, {location:?}, {reason}"
                    ))
                })?;
            }
            let alias = plugin
                .descendants()
                .filter(|node| node.has_tag_name("property"))
                .find(|node| node.attribute("key") == Some("PROXY_CONFIGURATION_ALIAS"))
                .and_then(|node| node.attribute("value"));
            names.push(alias.unwrap_or(name).to_owned());
            aliases.extend(alias.map(|device| Alias {
                device: device.to_owned(),
                plugin: name.to_owned(),
                location: location.to_owned(),
            }));
        }
        Ok(Self {
            // Absolute, so that OpenVINO resolves plain names next to it from any directory.
            file: Some(beside),
            names,
            aliases,
        })
    }

    /// Returns the alias that `device` is, whatever its number.
    pub(crate) fn alias(&self, device: &str) -> Option<&Alias> {
        let family = device.split('.').next().unwrap_or(device);
        self.aliases.iter().find(|alias| alias.device == family)
    }
}

/// Lists the libraries that the plugins file `file` names, whether or not it is accepted: a program must not write to
/// them. Plain names are next to the file.
pub fn plugin_libraries(file: &Path) -> Vec<PathBuf> {
    let (Ok(beside), Ok(text)) = (std::path::absolute(file), read(file)) else {
        return Vec::new();
    };
    let Ok(document) = ir::parse(&text) else {
        return Vec::new();
    };
    plugins_in(&document)
        .filter_map(|plugin| plugin.attribute("location"))
        .filter(|location| !location.is_empty())
        .map(|location| beside.with_file_name(location))
        .collect()
}

fn read(file: &Path) -> io::Result<String> {
    let bytes = model_file::read_regular(file, MOST_BYTES)?;
    String::from_utf8(bytes).map_err(|source| io::Error::new(io::ErrorKind::InvalidData, source))
}

fn plugins_in<'a>(document: &'a Document<'a>) -> impl Iterator<Item = Node<'a, 'a>> {
    let all = document.root_element().descendants();
    all.filter(|node| node.has_tag_name("plugin"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_text(text: &str) -> Result<Plugins, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, text).unwrap();
        Plugins::read(Some(file.path()))
    }

    #[test]
    fn aliases_are_read() {
        let plugins = read_text(
            r#"<ie><plugins><plugin name="CPU" location="libcpu.so"/>
            <plugin name="CPU_A" location="libcpu.so"><properties>
            <property key="PROXY_CONFIGURATION_ALIAS" value="MYRIAD"/></properties></plugin></plugins></ie>"#,
        )
        .unwrap();
        assert_eq!(plugins.alias("MYRIAD.1").unwrap().plugin, "CPU_A");
        assert_eq!(plugins.alias("CPU"), None);
        assert_eq!(plugins.names, ["CPU", "MYRIAD"]);
    }

    #[test]
    fn libraries_are_listed_although_the_file_is_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("plugins.xml");
        let elsewhere = directory.path().join("elsewhere").join("liba.so");
        let text = format!(
            "<ie><plugins><plugin name='A' location='{}'/><plugin location='libb.so'/><plugin name='C'/></plugins></ie>",
            elsewhere.display()
        );
        fs::write(&file, text).unwrap();
        Plugins::read(Some(&file)).unwrap_err();
        assert_eq!(
            plugin_libraries(&file),
            [elsewhere, directory.path().join("libb.so")]
        );
        assert!(plugin_libraries(&directory.path().join("none.xml")).is_empty());
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(status.unwrap().success());
        let error = Plugins::read(Some(&pipe)).unwrap_err();
        assert!(error.to_string().contains("regular file"), "{error}");
        assert!(plugin_libraries(&pipe).is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_damaged_library_never_reaches_the_loader() {
        let directory = tempfile::tempdir().unwrap();
        let program = fs::read(std::env::current_exe().unwrap()).unwrap();
        fs::write(directory.path().join("cut.so"), &program[..4096]).unwrap();
        let file = directory.path().join("plugins.xml");
        let absolute = directory.path().join("cut.so");
        for location in ["cut.so", absolute.to_str().unwrap()] {
            let text =
                format!("<ie><plugins><plugin name='A' location='{location}'/></plugins></ie>");
            fs::write(&file, text).unwrap();
            let error = Plugins::read(Some(&file)).unwrap_err();
            assert!(
                error.to_string().contains("not a valid shared library"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_plugins_file_is_rejected() {
        for (text, says) in [
            ("", "not XML"),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><ie/>", "not XML"),
            ("<ie/>", "must hold"),
            (
                "<ie><plugins><plugin name='A'/></plugins></ie>",
                "no location",
            ),
            (
                "<ie><plugins><plugin name='A' location='./a.so'/></plugins></ie>",
                "must be an absolute path",
            ),
            (
                "<ie><plugins><plugin name='A' location='../a.so'/></plugins></ie>",
                "must be an absolute path",
            ),
            (
                "<ie><plugins><plugin name='A' location='/no/such/a.so'/></plugins></ie>",
                "does not exist",
            ),
        ] {
            let error = read_text(text).unwrap_err();
            assert!(error.to_string().contains(says), "{text}: {error}");
        }
        let missing = Plugins::read(Some(Path::new("/no/such/file.xml"))).unwrap_err();
        assert!(
            missing.to_string().contains("/no/such/file.xml"),
            "{missing}"
        );
    }
}
