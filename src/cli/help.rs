//! What `--help`, the man pages and the completions say: the subcommands in groups, each with an example.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::Cli;

/// The subcommands as people look for them. One that is in no group stands with the last.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Begin", &["demo", "serve", "check", "doctor"]),
    (
        "Bindings",
        &["bind", "update", "unbind", "bindings", "callee", "route"],
    ),
    ("Numbers", &["number", "pool", "group", "account", "trunk"]),
    (
        "Calls",
        &["calls", "trace", "hangup", "cdr", "recording", "audit"],
    ),
    (
        "The server",
        &[
            "status",
            "reload",
            "drain",
            "undrain",
            "stop",
            "log",
            "ban",
            "prompt",
            "export",
            "import",
            "backup",
            "restore",
            "man",
            "completions",
        ],
    ),
];

/// An example of each subcommand. Each line is one that can be typed.
const EXAMPLES: &[(&str, &str)] = &[
    ("serve", "umbra serve --conf /etc/umbra/umbra.toml"),
    ("demo", "umbra demo --once"),
    ("check", "umbra check --conf /etc/umbra/umbra.toml"),
    ("reload", "umbra check && umbra reload"),
    ("stop", "umbra stop --drain 10m"),
    ("drain", "umbra drain && umbra calls --watch"),
    ("undrain", "umbra undrain"),
    ("status", "umbra status --json"),
    ("doctor", "umbra doctor --conf /etc/umbra/umbra.toml"),
    ("log level", "umbra log level debug"),
    ("pool add", "umbra pool add couriers --mode axb"),
    ("pool list", "umbra pool list --json"),
    ("pool show", "umbra pool show couriers"),
    ("pool set", "umbra pool set couriers --reuse sticky --free-low 10"),
    ("pool usage", "umbra pool usage couriers"),
    ("account add", "umbra account add market"),
    ("account list", "umbra account list --json"),
    ("account set", "umbra account set market --x-per-a 10"),
    ("account suspend", "umbra account suspend market"),
    ("account resume", "umbra account resume market"),
    (
        "number add",
        "umbra number add 17000000001 --pool couriers --trunk carrier",
    ),
    ("number list", "umbra number list --pool couriers"),
    ("number set", "umbra number set 17000000001 --city 0571"),
    ("number move", "umbra number move 17000000001 --pool rides"),
    ("number show", "umbra number show 17000000001"),
    ("number lock", "umbra number lock 17000000001"),
    ("number unlock", "umbra number unlock 17000000001"),
    ("number freeze", "umbra number freeze 17000000001"),
    ("number unfreeze", "umbra number unfreeze 17000000001"),
    ("number release", "umbra number release 17000000001"),
    (
        "bind axb",
        "umbra bind axb --x 17000000001 --a 13800000001 --b 13900000002 --ttl 1h",
    ),
    ("update", "umbra update 01ARZ3NDEKTSV4RRFFQ69G5FAV --ttl 2h"),
    ("unbind", "umbra unbind --x 17000000001"),
    (
        "bind ax",
        "umbra bind ax --x 17000000001 --a 13800000001 --ttl 1h",
    ),
    (
        "bind axyb",
        "umbra bind axyb --x 17000000001 --a 13800000001 --y 17000000002 --b 13900000002",
    ),
    (
        "bind axg",
        "umbra bind axg --x 17000000001 --a 13800000001 --group east",
    ),
    (
        "bind gxb",
        "umbra bind gxb --x 17000000001 --group east --b 13900000002",
    ),
    (
        "bind gxyb",
        "umbra bind gxyb --x 17000000001 --group east --y 17000000002 --b 13900000002",
    ),
    (
        "bind xb",
        "umbra bind xb --x 17000000001 --b 13900000002 --ring 13700000003,13600000004",
    ),
    ("bind 400", "umbra bind 400 --x 4001234567 --base 057112345678"),
    (
        "group add",
        "umbra group add east --pool couriers 13900000002 13700000003",
    ),
    ("group list", "umbra group list --pool couriers"),
    ("group show", "umbra group show east"),
    ("group set", "umbra group set east --default 13900000002"),
    ("group members", "umbra group members east --full"),
    ("group join", "umbra group join east 13600000004"),
    ("group leave", "umbra group leave east 13900000002"),
    ("group remove", "umbra group remove east"),
    (
        "bind axe",
        "umbra bind axe --x 17000000001 --a 13800000001 --extension 0012",
    ),
    (
        "bind axn",
        "umbra bind axn --x 17000000001 --a 13800000001 --callback 13900000002",
    ),
    (
        "bind 95axn",
        "umbra bind 95axn --x 95001 --a 13800000001 --record",
    ),
    ("callee", "umbra callee --x 17000000001 --to 13900000002"),
    ("bindings", "umbra bindings --x 17000000001 --ended"),
    ("route", "umbra route 17000000001 13800000001"),
    ("calls", "umbra calls --watch"),
    ("hangup", "umbra hangup 01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("trace", "umbra trace 01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("cdr", "umbra cdr --since 1h --x 17000000001"),
    ("recording list", "umbra recording list --number 13800000001"),
    (
        "recording get",
        "umbra recording get 01ARZ3NDEKTSV4RRFFQ69G5FAV -o call.wav",
    ),
    (
        "recording play",
        "umbra recording play 01ARZ3NDEKTSV4RRFFQ69G5FAV",
    ),
    ("recording verify", "umbra recording verify data/recordings"),
    (
        "recording plot",
        "umbra recording plot 01ARZ3NDEKTSV4RRFFQ69G5FAV.wav -o call.svg",
    ),
    (
        "recording convert",
        "umbra recording convert 01ARZ3NDEKTSV4RRFFQ69G5FAV.rtpdump -o call.wav",
    ),
    (
        "recording link",
        "umbra recording link 01ARZ3NDEKTSV4RRFFQ69G5FAV --ttl 1h",
    ),
    ("recording erase", "umbra recording erase --number 13800000001"),
    ("audit verify", "umbra audit verify data/audit"),
    ("ban list", "umbra ban list"),
    ("ban add", "umbra ban add 198.51.100.7 --for 1h"),
    ("ban remove", "umbra ban remove 198.51.100.7"),
    ("prompt list", "umbra prompt list --language en"),
    ("prompt add", "umbra prompt add busy our-busy.wav --pool shop"),
    ("prompt play", "umbra prompt play busy > busy.wav"),
    ("prompt remove", "umbra prompt remove busy --pool shop"),
    ("trunk list", "umbra trunk list"),
    ("trunk status", "umbra trunk status carrier"),
    ("trunk block", "umbra trunk block carrier 192.0.2.1:5060"),
    ("trunk unblock", "umbra trunk unblock carrier"),
    ("trunk probe", "umbra trunk probe carrier"),
    ("trunk try", "umbra trunk try carrier 008613800000001"),
    ("import", "umbra import bindings.csv"),
    ("export", "umbra export > bindings.csv"),
    ("restore", "umbra restore /var/backups/umbra-today"),
    ("backup", "umbra backup /var/backups/umbra-today"),
    ("man", "umbra man bind axb | man -l -"),
    (
        "completions",
        "umbra completions bash > /etc/bash_completion.d/umbra",
    ),
];

/// The whole command line: clap's definitions, with groups and examples.
pub(super) fn command() -> Command {
    let mut command = Cli::command();
    for (path, example) in EXAMPLES {
        command = with_example(command, path, example);
    }
    let template = format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{}Options:\n{{options}}{{after-help}}",
        groups(&command)
    );
    command.help_template(template)
}

fn with_example(command: Command, path: &str, example: &str) -> Command {
    match path.split_once(' ') {
        Some((outer, rest)) => command.mut_subcommand(outer, |inner| with_example(inner, rest, example)),
        None => command.mut_subcommand(path, |inner| inner.after_help(format!("Example:\n  {example}"))),
    }
}

/// The subcommands' names with what they are for, under their groups' headings.
fn groups(command: &Command) -> String {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        text.push_str(&format!("{heading}:\n"));
        for name in names {
            text.push_str(&line(command, name));
        }
        text.push('\n');
    }
    let grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let others = command.get_subcommands().map(Command::get_name);
    for name in others.filter(|name| !grouped(name)) {
        text.push_str(&line(command, name));
    }
    text
}

fn line(command: &Command, name: &str) -> String {
    let about = command.find_subcommand(name).and_then(Command::get_about);
    about.map_or_else(String::new, |about| format!("  {name:<12} {about}\n"))
}

/// What `man` takes.
#[derive(Args, Debug)]
pub struct Man {
    /// The subcommand [default: umbra itself]
    command: Vec<String>,
    /// Write every page into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

impl Man {
    /// Prints a man page, or writes all of them.
    ///
    /// # Errors
    /// There is no such subcommand, or the folder can't be written.
    pub fn run(self, out: &mut dyn Write) -> anyhow::Result<()> {
        if let Some(dir) = self.dir {
            std::fs::create_dir_all(&dir).with_context(|| format!("{} can't be made", dir.display()))?;
            clap_mangen::generate_to(for_man(), &dir)
                .with_context(|| format!("{} can't be written", dir.display()))?;
            writeln!(
                out,
                "the pages are in {}; read one: man -l {0}/umbra.1",
                dir.display()
            )?;
            return Ok(());
        }
        let mut command = for_man();
        command.build();
        let mut page = &command;
        for name in &self.command {
            match page.find_subcommand(name) {
                Some(inner) => page = inner,
                None => bail!("there is no subcommand {name}: `umbra --help` names them"),
            }
        }
        let name = page.get_display_name().unwrap_or("umbra").to_owned();
        clap_mangen::Man::new(page.clone()).title(name).render(out)?;
        Ok(())
    }
}

/// The command line without `help`, whose pages would only repeat the others.
fn for_man() -> Command {
    fn without(command: Command) -> Command {
        command.disable_help_subcommand(true).mut_subcommands(without)
    }
    without(command())
}

/// What `completions` takes.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the shell's completions.
    ///
    /// # Errors
    /// Nobody reads it.
    pub fn run(self, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "umbra", &mut script);
        out.write_all(&script)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every subcommand that does something, by its words.
    fn leaves(command: &Command, prefix: &str) -> Vec<String> {
        let mut names = Vec::new();
        for inner in command.get_subcommands() {
            let name = format!("{prefix}{}", inner.get_name());
            if inner.has_subcommands() {
                names.extend(leaves(inner, &format!("{name} ")));
            } else {
                names.push(name);
            }
        }
        names
    }

    #[test]
    fn every_subcommand_is_in_one_group_and_has_an_example_that_can_be_typed() {
        let command = command();
        for inner in command.get_subcommands() {
            let name = inner.get_name();
            let groups = GROUPS.iter().filter(|(_, names)| names.contains(&name)).count();
            assert_eq!(groups, 1, "{name} belongs in one group of GROUPS");
        }
        for name in leaves(&command, "") {
            let mut leaf = &command;
            for word in name.split(' ') {
                leaf = leaf.find_subcommand(word).expect("a leaf");
            }
            let has_own = leaf.get_after_help().or(leaf.get_after_long_help());
            assert!(has_own.is_some(), "{name} has no example in EXAMPLES");
        }
        for (path, example) in EXAMPLES {
            for line in example.split(" && ") {
                // What comes behind is another program, or a file.
                let line = line.split(['|', '>']).next().expect("a line");
                let parsed = command.clone().try_get_matches_from(line.split_whitespace());
                assert!(parsed.is_ok(), "{path}: {line}: {}", parsed.unwrap_err());
            }
        }
    }

    #[test]
    fn help_is_grouped() {
        let help = command().render_help().to_string();
        for wanted in [
            "Begin:\n  demo ",
            "\nThe server:\n  status       Say how the running server is\n",
            "\nOptions:\n      --control",
            "\nExit codes: 0 done",
        ] {
            assert!(help.contains(wanted), "{wanted}\n{help}");
        }
    }
}
