//! The check of a library's file structure, without loading it.

use std::io;
use std::path::Path;

use model_file::open_regular;
use object::read::NameOrOrdinal;
use object::read::macho::{FatArch, MachOFatFile32, MachOFatFile64};
use object::read::{ReadCache, ReadCacheOps, ReadRef};
use object::{Architecture, FileKind, Object as _, ObjectSegment as _};

/// Checks without loading it that `path` is a library for this machine with all of its bytes, and that it exports
/// `symbol`, if one is named. Reads ELF files on Linux, Mach-O files on macOS and PE files on Windows; no other file is
/// a library there.
///
/// # Errors
///
/// The fault, as the end of a sentence that begins with the path.
pub fn inspect(path: &Path, symbol: Option<&str>) -> Result<(), String> {
    let file = open_regular(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::InvalidInput => "is not a regular file".to_owned(),
        _ => format!("cannot be opened: {error}"),
    })?;
    let metadata = file
        .metadata()
        .map_err(|error| format!("cannot be read: {error}"))?;
    inspect_for(
        Machine::CURRENT,
        &ReadCache::new(file),
        metadata.len(),
        symbol,
    )
}

/// A machine, as far as it decides which libraries it loads.
#[derive(Debug, Clone, Copy)]
struct Machine {
    format: Format,
    architecture: Architecture,
}

impl Machine {
    const CURRENT: Self = Self {
        format: if cfg!(target_vendor = "apple") {
            Format::MachO
        } else if cfg!(windows) {
            Format::Pe
        } else {
            Format::Elf
        },
        architecture: if cfg!(target_arch = "aarch64") {
            Architecture::Aarch64
        } else {
            Architecture::X86_64
        },
    };
}

/// A format of shared libraries.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Format {
    Elf,
    MachO,
    Pe,
}

impl Format {
    fn of(kind: FileKind) -> Option<Self> {
        match kind {
            FileKind::Elf32 | FileKind::Elf64 => Some(Self::Elf),
            FileKind::MachO32 | FileKind::MachO64 | FileKind::MachOFat32 | FileKind::MachOFat64 => {
                Some(Self::MachO)
            }
            FileKind::Pe32 | FileKind::Pe64 => Some(Self::Pe),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Elf => "ELF",
            Self::MachO => "Mach-O",
            Self::Pe => "PE",
        }
    }

    /// Returns the name in a library's table of the C function `symbol`.
    fn exported_name(self, symbol: &str) -> String {
        match self {
            Self::Elf | Self::Pe => symbol.to_owned(),
            Self::MachO => format!("_{symbol}"),
        }
    }
}

fn inspect_for<R: ReadCacheOps>(
    machine: Machine,
    file: &ReadCache<R>,
    length: u64,
    symbol: Option<&str>,
) -> Result<(), String> {
    let kind = FileKind::parse(file)
        .map_err(|_| "is not a valid shared library: its format is unknown".to_owned())?;
    let Some(format) = Format::of(kind) else {
        return Err(format!("is not a shared library, but {kind:?}"));
    };
    if format != machine.format {
        return Err(format!(
            "is a library for another system ({}; this one loads {})",
            format.name(),
            machine.format.name()
        ));
    }
    // A universal library holds one for each architecture.
    let parts = match kind {
        FileKind::MachOFat32 => MachOFatFile32::parse(file).map(|fat| ranges(fat.arches())),
        FileKind::MachOFat64 => MachOFatFile64::parse(file).map(|fat| ranges(fat.arches())),
        _ => return inspect_part(machine, file, length, symbol),
    };
    let parts = parts.map_err(|error| format!("is not a valid shared library: {error}"))?;
    let Some((_, offset, size)) = parts
        .iter()
        .find(|(architecture, ..)| *architecture == machine.architecture)
    else {
        let all: Vec<_> = parts.iter().map(|part| format!("{:?}", part.0)).collect();
        return Err(other_architecture(machine, &all.join(", ")));
    };
    check_end(offset.checked_add(*size), length)?;
    inspect_part(machine, file.range(*offset, *size), *size, symbol)
}

/// Returns the architecture, the offset and the size of each part.
fn ranges(parts: &[impl FatArch]) -> Vec<(Architecture, u64, u64)> {
    let range = |part: &_| {
        let (offset, size) = FatArch::file_range(part);
        (FatArch::architecture(part), offset, size)
    };
    parts.iter().map(range).collect()
}

fn inspect_part<'data>(
    machine: Machine,
    data: impl ReadRef<'data>,
    length: u64,
    symbol: Option<&str>,
) -> Result<(), String> {
    let file = object::File::parse(data)
        .map_err(|error| format!("is not a valid shared library: {error}"))?;
    if !file.is_64() || file.architecture() != machine.architecture {
        return Err(other_architecture(
            machine,
            &format!("{:?}", file.architecture()),
        ));
    }
    for segment in file.segments() {
        let (offset, size) = segment.file_range();
        check_end(offset.checked_add(size), length)?;
    }
    let Some(symbol) = symbol else { return Ok(()) };
    let damaged = |error| format!("is damaged: {error}");
    let exported = machine.format.exported_name(symbol);
    for export in file.exports().map_err(damaged)? {
        let export = export.map_err(damaged)?;
        if export.name() == NameOrOrdinal::Name(exported.as_bytes()) {
            return Ok(());
        }
    }
    Err(format!("does not export `{symbol}`"))
}

fn check_end(end: Option<u64>, length: u64) -> Result<(), String> {
    if end.is_some_and(|end| end <= length) {
        return Ok(());
    }
    Err(format!(
        "is damaged: it has {length} bytes, but a segment ends at byte {}",
        end.unwrap_or(u64::MAX)
    ))
}

fn other_architecture(machine: Machine, found: &str) -> String {
    format!(
        "is a library for another machine ({found}; this is {:?})",
        machine.architecture
    )
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use object::write::{Object, Symbol, SymbolSection};
    use object::{BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};

    use super::*;

    /// Returns an object file of macOS that exports the C function `start`.
    fn mach_o(architecture: Architecture) -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::MachO, architecture, Endianness::Little);
        let text = object.section_id(object::write::StandardSection::Text);
        let offset = object.append_section_data(text, &[0; 64], 4);
        object.add_symbol(Symbol {
            name: b"start".to_vec(),
            value: offset,
            size: 64,
            kind: SymbolKind::Text,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
        object.write().unwrap()
    }

    fn inspect_bytes(machine: Machine, bytes: &[u8], symbol: &str) -> Result<(), String> {
        let cache = ReadCache::new(Cursor::new(bytes));
        inspect_for(machine, &cache, bytes.len() as u64, Some(symbol))
    }

    const APPLE: Machine = Machine {
        format: Format::MachO,
        architecture: Architecture::Aarch64,
    };

    #[test]
    fn a_library_of_macos_is_inspected() {
        let bytes = mach_o(Architecture::Aarch64);
        inspect_bytes(APPLE, &bytes, "start").unwrap();
        let fault = inspect_bytes(APPLE, &bytes, "stop").unwrap_err();
        assert_eq!(fault, "does not export `stop`");
        let fault = inspect_bytes(APPLE, &mach_o(Architecture::X86_64), "start").unwrap_err();
        assert!(
            fault.contains("for another machine (X86_64; this is Aarch64)"),
            "{fault}"
        );
    }

    #[test]
    fn a_truncated_library_is_damaged_at_every_length() {
        let bytes = mach_o(Architecture::Aarch64);
        for length in 0..bytes.len() {
            inspect_bytes(APPLE, &bytes[..length], "start").unwrap_err();
        }
    }

    #[test]
    fn a_universal_library_needs_a_part_for_this_machine() {
        let part = mach_o(Architecture::Aarch64);
        let universal = universal(&[(0x0100_000C, &part)]);
        inspect_bytes(APPLE, &universal, "start").unwrap();
        let end = universal.len() - 1;
        inspect_bytes(APPLE, &universal[..end], "start").unwrap_err();
        let intel = Machine {
            architecture: Architecture::X86_64,
            ..APPLE
        };
        let fault = inspect_bytes(intel, &universal, "start").unwrap_err();
        assert!(fault.contains("(Aarch64; this is X86_64)"), "{fault}");
    }

    /// Returns a universal file of parts, each with the number of its processor.
    fn universal(parts: &[(u32, &[u8])]) -> Vec<u8> {
        let mut header = [0xCAFE_BABE, parts.len() as u32]
            .map(u32::to_be_bytes)
            .concat();
        let mut data = Vec::new();
        let start = header.len() + 20 * parts.len();
        for (processor, part) in parts {
            let offset = (start + data.len()) as u32;
            header.extend(
                [*processor, 0, offset, part.len() as u32, 0]
                    .map(u32::to_be_bytes)
                    .concat(),
            );
            data.extend_from_slice(part);
        }
        header.extend(data);
        header
    }

    #[test]
    fn a_library_of_another_system_is_named() {
        let linux = Machine {
            format: Format::Elf,
            ..APPLE
        };
        let fault = inspect_bytes(linux, &mach_o(Architecture::Aarch64), "start").unwrap_err();
        assert_eq!(
            fault,
            "is a library for another system (Mach-O; this one loads ELF)"
        );
        let fault =
            inspect_bytes(linux, b"PK\x03\x04 and more than sixteen bytes", "start").unwrap_err();
        assert!(fault.starts_with("is not a "), "{fault}");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("libx.so");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(status.unwrap().success());
        for path in [&*pipe, directory.path(), Path::new("/dev/zero")] {
            assert_eq!(inspect(path, None).unwrap_err(), "is not a regular file");
        }
    }
}
