//! Every key of the conf, and whether a running server takes its change: the one list of it. The comments of the
//! shipped files repeat it for people, and a test holds them to it.

/// When a changed key takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    /// With `umbra reload`, while calls go on: those in progress keep what they started with.
    Reload,
    /// With the next start. A reload keeps the old value and says so.
    Restart,
}

/// The keys of the main file, by their whole names, in the order of the shipped file. A trunk file's keys are not
/// here: a reload takes them all.
pub const KEYS: &[(&str, Takes)] = &[
    ("trunks", Takes::Reload),
    ("node.name", Takes::Reload),
    ("node.drain", Takes::Reload),
    ("node.restore_within_s", Takes::Restart),
    ("sip.udp", Takes::Restart),
    ("sip.tcp", Takes::Restart),
    ("sip.tls", Takes::Restart),
    ("sip.tls_cert", Takes::Reload),
    ("sip.tls_key", Takes::Reload),
    ("sip.tls_client_ca", Takes::Reload),
    ("sip.advertise", Takes::Restart),
    ("sip.dscp", Takes::Restart),
    ("sip.shards", Takes::Restart),
    ("sip.t1_ms", Takes::Reload),
    ("sip.strangers", Takes::Reload),
    ("media.address", Takes::Restart),
    ("media.advertise", Takes::Restart),
    ("media.ports", Takes::Restart),
    ("media.dscp", Takes::Restart),
    ("media.interface", Takes::Restart),
    ("media.threads", Takes::Restart),
    ("media.timeout_s", Takes::Reload),
    ("media.tones", Takes::Reload),
    ("prompts.dir", Takes::Reload),
    ("prompts.language", Takes::Reload),
    ("dns.servers", Takes::Reload),
    // Numbers are kept in the form that the country gave them.
    ("numbers.country", Takes::Restart),
    ("emergency.country", Takes::Reload),
    ("emergency.trunk", Takes::Reload),
    ("emergency.also", Takes::Reload),
    ("store.path", Takes::Restart),
    ("records.cdr_dir", Takes::Restart),
    ("records.rotate", Takes::Reload),
    ("records.keep_days", Takes::Reload),
    ("recordings.enabled", Takes::Restart),
    ("recordings.from", Takes::Reload),
    ("recordings.shortest_ms", Takes::Reload),
    ("recordings.pause_code", Takes::Reload),
    ("recordings.pause_by", Takes::Reload),
    ("recordings.dir", Takes::Restart),
    ("recordings.keep_days", Takes::Restart),
    ("recordings.at_least_days", Takes::Restart),
    ("recordings.keep_free", Takes::Restart),
    ("recordings.keys", Takes::Restart),
    ("recordings.key", Takes::Restart),
    ("recordings.audit_dir", Takes::Restart),
    ("recordings.audit_keep_days", Takes::Restart),
    ("quarantine.axb", Takes::Reload),
    ("quarantine.number", Takes::Reload),
    ("quarantine.extension", Takes::Reload),
    ("quarantine.limit", Takes::Reload),
    ("bans.after", Takes::Reload),
    ("bans.first", Takes::Reload),
    ("bans.longest", Takes::Reload),
    ("limits.calls", Takes::Reload),
    ("limits.ring_timeout_s", Takes::Reload),
    ("limits.announcements", Takes::Reload),
    ("api.control", Takes::Restart),
    ("api.listen", Takes::Reload),
    ("api.aliyun.listen", Takes::Restart),
    ("api.huawei.listen", Takes::Restart),
    ("metrics.numbers", Takes::Reload),
    ("ask.ca", Takes::Reload),
    ("ask.per_server", Takes::Reload),
    ("hep.server", Takes::Reload),
    ("hep.transport", Takes::Reload),
    ("hep.capture_id", Takes::Reload),
    ("hep.password", Takes::Reload),
    ("hep.password_file", Takes::Reload),
    ("hep.password_env", Takes::Reload),
    ("hep.numbers", Takes::Reload),
    ("log.level", Takes::Reload),
    ("log.format", Takes::Reload),
];

/// When a change of this key takes effect. One that isn't in the list waits: nothing is half taken.
pub fn takes(key: &str) -> Takes {
    KEYS.iter()
        .find(|(name, _)| *name == key)
        .map_or(Takes::Restart, |(_, takes)| *takes)
}
