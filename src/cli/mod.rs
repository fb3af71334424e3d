//! Floor 6, the command line. `serve` and `check` work on the conf; everything else is a client of the
//! running server's native API, over its control socket, with no private door.
//!
//! Exit codes: 0 done, 1 refused or not found (one sentence on standard error), 2 wrong usage.
//! In tables real numbers are masked (`138****0001`); `--full` shows them, and `--json` always does.

mod account;
mod audit;
mod backup;
mod ban;
mod binding;
mod call;
mod callee;
mod cdr;
mod client;
mod csv_file;
mod cues;
mod demo;
mod doctor;
mod export;
mod group;
mod help;
mod import;
mod ladder;
mod node;
mod number;
mod pool;
mod progress;
mod prompt;
mod question;
mod recording;
mod restore;
mod route;
mod screen;
mod serve;
mod table;
mod trunk;
mod when;
mod zone;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{FromArgMatches, Parser, Subcommand};

use client::Control;

use crate::base::form::forms;

/// Where the control socket is unless `--control` or `UMBRA_CONTROL` say otherwise.
const CONTROL: &str = "data/control.sock";

/// What `umbra --help` ends with.
const EXAMPLES: &str = "\
Examples:
  umbra demo --once                                        a masked call between two built-in phones
  umbra serve --conf conf/umbra.toml                       the server; all else asks it by its control socket
  umbra number add 17000000001
  umbra bind axb --x 17000000001 --a 13800000001 --b 13900000002 --ttl 1h
  umbra route 17000000001 13800000001                      who would be reached, and why

Exit codes: 0 done, 1 refused or not found (the reason on standard error), 2 wrong usage.";

/// What `umbra --version` says: besides, what an older program may not read.
static VERSION_AND_FORMS: LazyLock<String> = LazyLock::new(|| {
    let (version, forms) = (env!("CARGO_PKG_VERSION"), forms());
    format!(
        "{version}\nforms that it writes, and the newest that it reads: bindings {}, journal {}, calls in progress {}, recordings {}, \
         audit log {}",
        forms.store, forms.journal, forms.calls, forms.recordings, forms.audit
    )
});

/// Umbra: two people talk through a virtual number, and neither learns the other's real one.
#[derive(Parser, Debug)]
#[command(
    name = "umbra",
    version,
    long_version = VERSION_AND_FORMS.as_str(),
    about = "A masked-number telephony server: two people talk through a virtual number, and neither learns \
             the other's real one",
    after_help = EXAMPLES,
    propagate_version = true,
    infer_long_args = false
)]
struct Cli {
    /// The running server's control socket (serve, check, demo, audit, man and completions ask none)
    #[arg(long, global = true, env = "UMBRA_CONTROL", value_name = "PATH", default_value = CONTROL)]
    control: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Show a masked call between two built-in phones
    Demo(demo::Demo),
    /// Read the conf and list every fault in it
    Check(serve::Check),
    /// Let the running server read its conf again
    Reload(node::Reload),
    /// Stop the running server; calls in progress end at once, or with --drain by themselves
    Stop(node::Stop),
    /// Refuse new calls; those in progress go on, and the server stays
    Drain(node::Drain),
    /// Take new calls again
    Undrain(node::Undrain),
    /// Say how the running server is
    Status(node::Status),
    /// Look whether this machine is fit for the conf, and say the cure where it isn't
    Doctor(doctor::Doctor),
    /// Change what the running server logs
    #[command(subcommand)]
    Log(node::Log),
    /// Accounts
    #[command(subcommand)]
    Account(account::Account),
    /// Pools: numbers of one account and one mode
    #[command(subcommand)]
    Pool(pool::Pool),
    /// Virtual numbers
    #[command(subcommand)]
    Number(number::Number),
    /// Groups of numbers that share a binding
    #[command(subcommand)]
    Group(group::Group),
    /// Bind real numbers through a virtual one
    #[command(subcommand)]
    Bind(binding::Bind),
    /// Change a binding
    Update(binding::Update),
    /// End a binding, or all of a virtual number
    Unbind(binding::Unbind),
    /// List bindings
    Bindings(binding::Bindings),
    /// Name whom A of an AX binding reaches by dialling his own X
    Callee(callee::Callee),
    /// Say who would be reached, what they would see, and why
    Route(route::Route),
    /// List the calls in progress
    Calls(call::Calls),
    /// End a call
    Hangup(call::Hangup),
    /// Show a call's messages as a ladder
    Trace(call::Trace),
    /// List call records
    Cdr(cdr::Cdr),
    /// Recordings of calls: list, hear, verify, draw, convert, erase
    #[command(subcommand)]
    Recording(recording::Recording),
    /// The audit log of recordings
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Sources that are kept out for what they send
    #[command(subcommand)]
    Ban(ban::Ban),
    /// What callers are told in words
    #[command(subcommand)]
    Prompt(prompt::Prompt),
    /// Trunks
    #[command(subcommand)]
    Trunk(trunk::Trunk),
    /// Read accounts, pools, numbers and bindings from CSV
    Import(import::Import),
    /// Write accounts, pools, numbers and live bindings as CSV
    Export(export::Export),
    /// Take a backup while the server runs
    Backup(backup::Backup),
    /// Restore a backup, into the running server or into its empty data folder
    Restore(restore::Restore),
    /// Print the manual's page of umbra or of a subcommand
    Man(help::Man),
    /// Print what makes a shell complete umbra's words
    Completions(help::Completions),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    // clap itself ends the process with 2 on wrong usage, and with 0 after --help and --version.
    let cli = Cli::from_arg_matches(&help::command().get_matches()).unwrap_or_else(|e| e.exit());
    let outcome = run(cli, &mut io::stdout().lock());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output (`umbra calls | head`) has enough.
        Err(fault) if is_closed_pipe(&fault) => ExitCode::SUCCESS,
        Err(fault) => {
            // Nothing is left to do if even standard error is gone.
            drop(writeln!(io::stderr(), "umbra: {fault:#}"));
            ExitCode::from(1)
        }
    }
}

fn run(cli: Cli, out: &mut dyn Write) -> anyhow::Result<()> {
    let control = || Control::new(&cli.control);
    match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Demo(demo) => demo.run(out),
        Command::Check(check) => check.run(out),
        Command::Reload(reload) => reload.run(&control()?, out),
        Command::Stop(stop) => stop.run(&control()?, out),
        Command::Drain(drain) => drain.run(&control()?, out),
        Command::Undrain(undrain) => undrain.run(&control()?, out),
        Command::Doctor(doctor) => doctor.run(&cli.control, out),
        Command::Status(status) => status.run(&control()?, out),
        Command::Log(log) => log.run(&control()?, out),
        Command::Account(account) => account.run(&control()?, out),
        Command::Pool(pool) => pool.run(&control()?, out),
        Command::Group(group) => group.run(&control()?, out),
        Command::Number(number) => number.run(&control()?, out),
        Command::Bind(bind) => bind.run(&control()?, out),
        Command::Update(update) => update.run(&control()?, out),
        Command::Unbind(unbind) => unbind.run(&control()?, out),
        Command::Bindings(bindings) => bindings.run(&control()?, out),
        Command::Callee(callee) => callee.run(&control()?, out),
        Command::Route(route) => route.run(&control()?, out),
        Command::Calls(calls) => calls.run(&control()?, out),
        Command::Hangup(hangup) => hangup.run(&control()?, out),
        Command::Trace(trace) => trace.run(&control()?, out),
        Command::Cdr(cdr) => cdr.run(&control()?, out),
        Command::Recording(recording) => recording.run(|| Ok(control()?), out),
        Command::Audit(audit) => audit.run(out),
        Command::Ban(ban) => ban.run(&control()?, out),
        Command::Prompt(prompt) => prompt.run(&control()?, out),
        Command::Trunk(trunk) => trunk.run(&control()?, out),
        Command::Import(import) => import.run(&control()?, out),
        Command::Export(export) => export.run(&control()?, out),
        Command::Restore(restore) => restore.run(&control()?, out),
        Command::Backup(backup) => backup.run(&control()?, out),
        Command::Man(man) => man.run(out),
        Command::Completions(completions) => completions.run(out),
    }
}

fn is_closed_pipe(fault: &anyhow::Error) -> bool {
    fault
        .downcast_ref::<io::Error>()
        .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod through;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;

    fn fault(line: &str) -> ErrorKind {
        Cli::try_parse_from(line.split(' ')).unwrap_err().kind()
    }

    #[test]
    fn the_definitions_hold_together() {
        help::command().debug_assert();
    }

    #[test]
    fn an_x_without_a_number_is_wrong_usage() {
        assert_eq!(fault("umbra bind axb --a 1 --b 2 --x"), ErrorKind::InvalidValue);
        assert_eq!(fault("umbra bind axb --x --a 1 --b 2"), ErrorKind::InvalidValue);
        assert_eq!(fault("umbra bind axb --x= --a 1 --b 2"), ErrorKind::InvalidValue);
        assert_eq!(fault("umbra unbind --x"), ErrorKind::InvalidValue);
        assert_eq!(fault("umbra cdr --x"), ErrorKind::InvalidValue);
        assert_eq!(fault("umbra bindings --x"), ErrorKind::InvalidValue);
    }

    #[test]
    fn what_excludes_each_other_is_wrong_usage() {
        for line in [
            "umbra bind axb --x 1 --pool p --a 2 --b 3",
            "umbra bind axb --x 1 --a 2 --b 3 --ttl 1h --until 2026-12-31",
            "umbra unbind 01J --x 1",
            "umbra update 01J --record --no-record",
            "umbra update 01J --ttl 1h --never",
            "umbra number add 17000000000 --range 17000000000-17000000999",
        ] {
            assert_eq!(fault(line), ErrorKind::ArgumentConflict, "{line}");
        }
        for line in [
            "umbra bind axb --a 2 --b 3",
            "umbra unbind",
            "umbra update 01J",
            "umbra bind axb --x 1 --a 2",
        ] {
            assert_eq!(fault(line), ErrorKind::MissingRequiredArgument, "{line}");
        }
        assert_eq!(
            fault("umbra bind axb --x 1 --a 2 --b 3 --ttl soon"),
            ErrorKind::ValueValidation
        );
    }

    #[test]
    fn every_line_of_the_manual_is_understood() {
        for line in [
            "umbra serve --conf conf/umbra.toml",
            "umbra check",
            "umbra reload",
            "umbra stop --drain 10m",
            "umbra status --json",
            "umbra drain",
            "umbra man bind axb",
            "umbra completions zsh",
            "umbra doctor --conf conf/umbra.toml --json",
            "umbra undrain",
            "umbra pool add crowd --mode axb --account default",
            "umbra pool list --json",
            "umbra pool show crowd",
            "umbra pool add crowd --city-rule strict --reuse avoid --quarantine conf",
            "umbra pool set crowd --name mob --pairs-per-x 50 --free-low 5 --fallback-city Jinan --ring-timeout 30s",
            "umbra pool usage crowd --json",
            "umbra account add shop",
            "umbra account list --json",
            "umbra account set shop --x-per-a 3 --expiry-max 30d",
            "umbra account suspend shop",
            "umbra account resume shop",
            "umbra number add --range 17000000000-17000000999 --pool crowd --city Qingdao --operator CMCC --tag new",
            "umbra number add --file numbers.txt --inventory",
            "umbra number list --pool crowd --city Qingdao --state idle --trunk carrier",
            "umbra number set 17000000001 --city Qingdao",
            "umbra number move 17000000001 --pool crowd",
            "umbra number freeze 17000000001 --cause regulator",
            "umbra bind axb --pool crowd --city Qingdao --a 13800000001 --b 13900000002",
            "umbra number add 17000000001 --pool crowd --trunk carrier",
            "umbra number list --json",
            "umbra number show 17000000001",
            "umbra number lock 17000000001",
            "umbra number unlock 17000000001",
            "umbra number freeze 17000000001",
            "umbra number unfreeze 17000000001",
            "umbra number release 17000000001",
            "umbra bind axb --x 17000000001 --a 13800000001 --b +8613900000002 --ttl 1h --direction a-to-b \
             --record --max-duration 10m --order-id 7 --user-data hi --on-conflict extend",
            "umbra bind axb --pool crowd --a 13800000001 --b 13900000002 --dry-run --json",
            "umbra bind ax --x 17000000001 --a 13800000001",
            "umbra bind axyb --x 17000000001 --a 13800000001 --y 17000000002 --b 13900000002",
            "umbra bind axyb --pool crowd --a 13800000001 --y-pool crowd --b 13900000002",
            "umbra callee --x 17000000001 --to 13900000002 --ttl 5m",
            "umbra callee --x 17000000001 --clear",
            "umbra callee --x 17000000001 --a 13800000001 --to 13900000002",
            "umbra bind axe --x 17000000001 --a 13800000001 --extension 0012",
            "umbra bind axe --pool crowd --a 13800000001",
            "umbra bind axn --x 17000000001 --a 13800000001 --callback 13900000002",
            "umbra bind 95axn --x 95001 --a 13800000001 --record",
            "umbra route 17000000001 13800000001 --digits 0012",
            "umbra pool set crowd --width 3 --collect early --owner-dials ask --callback last --last-kept 2d",
            "umbra update 01J --mode axb --b 13900000002",
            "umbra update 01J --b 13900000003 --until 2026-12-31 --no-record",
            "umbra unbind 01J",
            "umbra unbind --x 17000000001",
            "umbra bindings --x 17000000001 --a 13800000001 --ended",
            "umbra route 17000000001 13800000001",
            "umbra calls --watch",
            "umbra hangup 01J",
            "umbra trace 01J",
            "umbra cdr --follow --x 17000000001 --since 1h",
            "umbra recording list --number 13800000001 --since 1d --json",
            "umbra recording get 01ARZ3NDEKTSV4RRFFQ69G5FAV -o call.wav --chain",
            "umbra recording verify data/recordings --keys keys --json",
            "umbra recording erase --binding 01ARZ3NDEKTSV4RRFFQ69G5FAV --yes",
            "umbra audit verify data/audit --sha256 0101010101010101010101010101010101010101010101010101010101010101",
            "umbra account set shop --recordings-keep-days 90 --recordings-at-least-days conf",
            "umbra trunk list",
            "umbra trunk status carrier",
            "umbra trunk block carrier 192.0.2.1:5060",
            "umbra trunk unblock carrier",
            "umbra trunk probe carrier",
            "umbra log level debug",
            "umbra status --control /run/umbra/control.sock",
            "umbra import bindings.csv",
            "umbra export",
            "umbra export bindings.csv",
            "umbra backup /var/backups/umbra/monday",
            "umbra restore /var/backups/umbra/monday --yes",
        ] {
            let parsed = Cli::try_parse_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }
}
