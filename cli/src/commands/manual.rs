//! Shell completions and the manual page, from the definitions of the command line.

use std::io;

use clap::CommandFactory as _;

use crate::args::Args;

/// Prints the completion script for `shell`.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "classify", &mut script);
    print(&script)
}

/// Prints the manual page: the program's, then that of each subcommand.
pub fn page() -> anyhow::Result<()> {
    let mut text = Vec::new();
    let mut command = Args::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    for subcommand in command.get_subcommands() {
        let man = clap_mangen::Man::new(subcommand.clone());
        man.render_title(&mut text)?;
        man.render_name_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
    }
    print(&text)
}

/// A closed pipe has to be an error that `main` recognises, not a panic.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    Ok(io::Write::write_all(&mut io::stdout().lock(), bytes)?)
}
