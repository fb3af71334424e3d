//! The metrics that are no events of calls: what every part has to show at the moment it is asked.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::api::native::Phase;
use crate::records::cdr_file;
use crate::store::journal::Journal;
use crate::store::writer::Store;
use crate::telemetry::health::State;
use crate::telemetry::metrics::{Kind, Page};

use super::joined::Joined;

/// The parts that have something to show.
pub(super) struct Readings {
    pub(super) shared: Arc<Joined>,
    pub(super) records: Weak<cdr_file::Writer>,
    pub(super) journal: Journal,
    pub(super) store: Store,
}

impl Readings {
    /// Writes what they show now.
    pub(super) fn write(&self, page: &mut Page) {
        self.server(page);
        self.names(page);
        self.shared.write_asking(page);
        self.disk(page);
        self.recordings(page);
        self.shared.write_gateways(page);
        let sip = &self.shared.sip;
        for (name, help, count) in [
            ("umbra_sip_in", "SIP messages received.", &sip.received),
            ("umbra_sip_out", "SIP messages sent.", &sip.sent),
            ("umbra_sip_shed", "SIP requests answered 503 unread.", &sip.shed),
            (
                "umbra_sip_lost",
                "SIP messages that could not be handed on or sent.",
                &sip.lost,
            ),
            (
                "umbra_tcp_refused",
                "TCP connections refused because there were too many.",
                &sip.refused,
            ),
            (
                "umbra_tcp_dead",
                "TCP connections to gateways that were closed because a keep-alive got no answer.",
                &sip.dead,
            ),
        ] {
            page.one(Kind::Counter, name, help, count.load(Ordering::Relaxed));
        }
        let (begun, dropped) = self.shared.bans.counts();
        for (name, help, count) in [
            (
                "umbra_bans_begun",
                "Bans of sources, by themselves or by hand.",
                begun,
            ),
            (
                "umbra_banned_dropped",
                "SIP messages and connections of banned sources, not read.",
                dropped,
            ),
        ] {
            page.one(Kind::Counter, name, help, count);
        }
        let banned = self.shared.bans.list(self.shared.clock.now().at).len() as u64;
        page.one(Kind::Gauge, "umbra_bans", "Sources that are banned now.", banned);
        page.one(
            Kind::Gauge,
            "umbra_tcp_connections",
            "TCP connections that are open.",
            sip.connections.load(Ordering::Relaxed),
        );
        page.one(
            Kind::Counter,
            "umbra_sip_busy_seconds",
            "For how long the SIP threads were busy, all together.",
            sip.busy_us.load(Ordering::Relaxed) as f64 / 1e6,
        );
        self.load(page);
        self.shared.write_tls(page);
        self.shared.write_export(page);
        let ready = |shard: usize| {
            self.shared
                .berths
                .get(shard)
                .map_or(0, |b| b.load(Ordering::Relaxed))
        };
        let shards = 0..self.shared.berths.len();
        page.rows(
            Kind::Gauge,
            "umbra_media_berths_ready",
            "Calls whose media ports are bound and free, by shard.",
            shards.map(|shard| (vec![("shard", shard.to_string())], ready(shard) as u64)),
        );
    }

    /// How hard trunks press, and how hard we may press on their gateways.
    fn load(&self, page: &mut Page) {
        let config = self.shared.config.load();
        let trunks = || {
            let trunks = config.trunks.iter();
            trunks.map(|trunk| (trunk.name.to_string(), trunk.overload.counts()))
        };
        page.rows(
            Kind::Counter,
            "umbra_trunk_calls_offered",
            "New calls that came by a trunk: taken, or refused for load (503).",
            trunks().flat_map(|(trunk, counts)| {
                [("taken", counts.taken), ("shed", counts.shed)].map(|(outcome, count)| {
                    let outcome = ("outcome", outcome.to_owned());
                    (vec![("trunk", trunk.clone()), outcome], count)
                })
            }),
        );
        page.rows(
            Kind::Counter,
            "umbra_trunk_calls_spared",
            "Calls kept from a trunk's gateways that wanted fewer (RFC 7339).",
            trunks().map(|(trunk, counts)| (vec![("trunk", trunk)], counts.spared)),
        );
        page.rows(
            Kind::Gauge,
            "umbra_trunk_loss_wanted_percent",
            "Of a hundred new calls that a trunk's side would send, so many are not wanted just now.",
            trunks().map(|(trunk, counts)| (vec![("trunk", trunk)], u64::from(counts.loss_percent))),
        );
    }

    fn names(&self, page: &mut Page) {
        let (asked, failed) = self.shared.names.counts();
        for (name, help, count) in [
            ("umbra_dns_questions", "Questions to DNS.", asked),
            (
                "umbra_dns_failures",
                "Questions to DNS that got no answer, or none that can be used.",
                failed,
            ),
        ] {
            page.one(Kind::Counter, name, help, count);
        }
        let status = self.shared.names.status();
        page.rows(
            Kind::Gauge,
            "umbra_gateway_name_addresses",
            "Addresses that a gateway's name has at present.",
            status.iter().map(|status| {
                let addresses = status
                    .servers
                    .iter()
                    .map(|server| server.addresses.len())
                    .sum::<usize>();
                (vec![("name", status.name.to_string())], addresses as u64)
            }),
        );
        page.rows(
            Kind::Gauge,
            "umbra_gateway_name_failing",
            "1 while what is known of a gateway's name isn't fresh, or is nothing.",
            status.iter().map(|status| {
                (
                    vec![("name", status.name.to_string())],
                    u64::from(status.error.is_some()),
                )
            }),
        );
    }

    fn server(&self, page: &mut Page) {
        let is_serving = u8::from(self.shared.phase() == Phase::Serving);
        page.one(
            Kind::Gauge,
            "umbra_serving",
            "1 while new calls are taken.",
            is_serving,
        );
        page.one(
            Kind::Gauge,
            "umbra_calls",
            "Calls in progress.",
            self.shared.calls(),
        );
        let takeover = self.shared.takeover.get().copied().unwrap_or_default();
        for (name, help, calls) in [
            (
                "umbra_calls_taken_over",
                "Calls of the server before that went on at the start.",
                takeover.taken,
            ),
            (
                "umbra_calls_not_taken_over",
                "Calls of the server before that ended at the start.",
                takeover.ended,
            ),
        ] {
            page.one(Kind::Gauge, name, help, calls);
        }
        let report = self.shared.health.report();
        page.rows(
            Kind::Gauge,
            "umbra_part_state",
            "How a part is: 0 ok, 1 degraded, 2 failing.",
            report.parts.into_iter().map(|part| {
                let state = match part.state {
                    State::Ok => 0,
                    State::Degraded => 1,
                    State::Failing => 2,
                };
                (vec![("part", part.name)], state)
            }),
        );
        let (read_at, waiting) = self.shared.conf_read();
        if let Some(read_at) = read_at {
            page.one(
                Kind::Gauge,
                "umbra_conf_read_timestamp_seconds",
                "When the conf in force was read, since 1970.",
                read_at.as_millis() as f64 / 1e3,
            );
        }
        page.one(
            Kind::Gauge,
            "umbra_conf_keys_waiting",
            "Changed keys of the conf that wait for a restart.",
            waiting,
        );
        page.one(
            Kind::Gauge,
            "umbra_clock_ahead_seconds",
            "How far our time is ahead of the system's, which was set back.",
            self.shared.clock.ahead().as_secs_f64(),
        );
        let dropped = self
            .shared
            .log
            .as_ref()
            .map_or(0, crate::telemetry::log::Log::dropped);
        page.one(
            Kind::Counter,
            "umbra_log_lines_dropped",
            "Lines of the log that found no room.",
            dropped,
        );
        process(page);
    }

    fn disk(&self, page: &mut Page) {
        let table = self.store.table();
        let counts = table.counts();
        for (name, help, count) in [
            (
                "umbra_bindings",
                "Bindings that nobody has ended.",
                counts.bindings_live,
            ),
            (
                "umbra_bindings_ended",
                "Ended bindings that are kept.",
                counts.bindings_ended,
            ),
            ("umbra_numbers", "Virtual numbers.", counts.numbers),
            ("umbra_pools", "Pools.", counts.pools),
            (
                "umbra_pools_low",
                "Pools that are low on numbers (see umbra pool usage).",
                table.low_pools().len(),
            ),
            (
                "umbra_quarantined",
                "Ended bindings whose keys may rest from others.",
                counts.resting,
            ),
        ] {
            page.one(Kind::Gauge, name, help, count);
        }
        page.one(
            Kind::Counter,
            "umbra_quarantine_dropped",
            "Ended bindings whose keys rest no longer: their pool had more than the limit.",
            counts.rested_short,
        );
        let store = self.store.health();
        let journal = self.journal.health();
        let cdrs = self.records.upgrade().map_or(0, |records| records.waiting());
        for (name, help, count) in [
            (
                "umbra_store_writes_waiting",
                "Writes of bindings and numbers that wait.",
                store.waiting as u64,
            ),
            (
                "umbra_store_changes_behind",
                "Changes that are in the log and not in the database yet.",
                store.seq.saturating_sub(store.disk_seq),
            ),
            (
                "umbra_journal_waiting",
                "Journal entries not on disk yet.",
                journal.waiting as u64,
            ),
            (
                "umbra_journal_calls",
                "Calls that the journal keeps.",
                journal.live as u64,
            ),
            ("umbra_cdrs_waiting", "Call records not on disk yet.", cdrs as u64),
        ] {
            page.one(Kind::Gauge, name, help, count);
        }
        page.one(
            Kind::Counter,
            "umbra_journal_lost",
            "Journal entries lost: a kill may cost their calls' records.",
            journal.dropped,
        );
        page.histogram(
            "umbra_store_append_seconds",
            "How long the log took to write and sync one group of writes.",
            self.store.appends(),
        );
    }
}

impl Readings {
    /// Nothing where no call is recorded.
    fn recordings(&self, page: &mut Page) {
        let recorder = self.shared.recorder.as_ref().and_then(Weak::upgrade);
        let Some(recorder) = recorder else {
            return;
        };
        let (counts, audit) = (recorder.counts(), recorder.audit().counts());
        page.one(
            Kind::Gauge,
            "umbra_recordings_open",
            "Recordings that are being written.",
            counts.open,
        );
        page.one(
            Kind::Gauge,
            "umbra_recordings_waiting_bytes",
            "Bytes of recordings that wait for the disk.",
            counts.waiting_bytes,
        );
        for (name, help, count) in [
            (
                "umbra_recordings_written_bytes",
                "Bytes of recordings that were written, as they are before they are sealed.",
                counts.written_bytes,
            ),
            (
                "umbra_recordings_gaps",
                "Recordings of which something is missing that was heard, by one cause each.",
                counts.gaps,
            ),
            (
                "umbra_recordings_lost",
                "Recordings of which nothing is kept.",
                counts.lost,
            ),
            (
                "umbra_recordings_missed_packets",
                "RTP packets that came faster than the recorder took them.",
                counts.missed_packets,
            ),
            (
                "umbra_recordings_refused_orders",
                "Orders to the recorder that found no room.",
                counts.refused_orders,
            ),
            (
                "umbra_audit_lines",
                "Lines of the audit log that were noted.",
                audit.lines,
            ),
            (
                "umbra_audit_refused",
                "How often the disk refused to note something in the audit log.",
                audit.refused,
            ),
        ] {
            page.one(Kind::Counter, name, help, count);
        }
    }
}

/// What the system has to say of us; nothing where it doesn't.
fn process(page: &mut Page) {
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        page.one(Kind::Gauge, "process_open_fds", "Open files.", files.count());
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kb = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    if let Some(kb) = kb("VmRSS:") {
        page.one(
            Kind::Gauge,
            "process_resident_memory_bytes",
            "Memory in use.",
            kb.saturating_mul(1_024),
        );
    }
}
