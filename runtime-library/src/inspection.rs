//! The check of a library's file structure, without loading it.

use std::fs::File;
use std::io;
use std::path::Path;

use elf::ElfStream;
use elf::abi::{EM_AARCH64, EM_X86_64, PT_LOAD};
use elf::endian::NativeEndian;
use elf::file::Class;
use model_file::open_regular;

/// Checks without loading it that `path` is a library for this machine with all of its bytes, and
/// that it exports `symbol`, if one is named. Reads the structure of ELF files only.
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
    if cfg!(all(unix, not(target_vendor = "apple"))) {
        inspect_elf(file, metadata.len(), symbol)
    } else {
        Ok(())
    }
}

fn inspect_elf(file: File, length: u64, symbol: Option<&str>) -> Result<(), String> {
    let not_elf = |error| format!("is not a valid shared library: {error}");
    let mut elf = ElfStream::<NativeEndian, _>::open_stream(file).map_err(not_elf)?;
    let machine = if cfg!(target_arch = "aarch64") {
        EM_AARCH64
    } else {
        EM_X86_64
    };
    if elf.ehdr.class != Class::ELF64 || elf.ehdr.e_machine != machine {
        return Err(format!(
            "is a library for another machine (ELF machine {}, this is {machine})",
            elf.ehdr.e_machine
        ));
    }
    for segment in elf
        .segments()
        .iter()
        .filter(|segment| segment.p_type == PT_LOAD)
    {
        let end = segment.p_offset.checked_add(segment.p_filesz);
        if end.is_none_or(|end| end > length) {
            return Err(format!(
                "is damaged: it has {length} bytes, but a segment ends at byte {}",
                end.unwrap_or(u64::MAX)
            ));
        }
    }
    let Some(symbol) = symbol else { return Ok(()) };
    let table = elf
        .dynamic_symbol_table()
        .map_err(|error| format!("is damaged: {error}"))?;
    let exports = table.is_some_and(|(symbols, names)| {
        symbols.iter().any(|entry| {
            !entry.is_undefined()
                && names
                    .get(entry.st_name as usize)
                    .is_ok_and(|name| name == symbol)
        })
    });
    if exports {
        Ok(())
    } else {
        Err(format!("does not export `{symbol}`"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("libx.so");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(status.unwrap().success());
        for path in [&*pipe, folder.path(), Path::new("/dev/zero")] {
            assert_eq!(inspect(path, None).unwrap_err(), "is not a regular file");
        }
    }
}
