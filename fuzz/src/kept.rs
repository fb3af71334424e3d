//! The state of a call after harm: whatever it says, a switch that goes on with it has nothing left in the end.

use std::sync::Arc;
use std::time::Duration;

use umbra::base::chance::Chance;
use umbra::base::shard::Shard;
use umbra::base::time::{Instant, Now, Wall};
use umbra::call::cdr::Cdr;
use umbra::call::config::Config;
use umbra::call::kept::{self, Fate, Left};
use umbra::call::port::{AskId, CallEntry, Command, Input, Output};
use umbra::call::switch::Switch;
use umbra::masking::table::Table;

/// When the state is read.
const NOW: i64 = 1_795_255_260_000;

/// More than any call has to say before it is over.
const STEPS: usize = 2_000;

/// The record of an arrival.
const RECORD: &str = r#"{"schema":1,"node":"umbra-1","call_id":"01M7YRRT81HCR1PNFF8FW3C7FY","binding_id":null,"account":"default","pool":null,"mode":"axb","caller_kind":"a","direction":"a_to_b","a":null,"x":"17000000001","y":null,"peer":null,"extension":null,"group_id":null,"caller":null,"dialled":"17000000001","callee":null,"shown":null,"arrived_at":"2026-11-21T10:00:00.000Z","dialled_at":null,"early_media_at":null,"ringing_at":null,"answered_at":null,"ended_at":"2026-11-21T10:00:00.000Z","released_by":"server","sip_status":500,"callee_sip_status":null,"q850_cause":41,"refusal":null,"billable_s":0,"attempts":[],"recording":{"id":null,"state":"none","reason":"not asked"},"media":{"caller":{"codec":null,"packets_in":0,"packets_out":0,"lost":0,"jitter_ms_max":0.0},"callee":{"codec":null,"packets_in":0,"packets_out":0,"lost":0,"jitter_ms_max":0.0}},"sip_call_id_in":"c","sip_call_id_out":null,"trunk_in":"carrier","trunk_out":null,"order_id":null,"user_data":null}"#;

/// A switch at the address of the states in the corpus.
pub fn switch() -> (Switch, Arc<Config>) {
    let config = Arc::new(Config::on(([127, 1, 0, 1], 5_060).into()));
    let shard = Shard {
        index: 0,
        count: 1,
        key: [1, 2],
    };
    let chance = Chance::from_number(1);
    let mut switch = Switch::new(config.clone(), Arc::new(Table::new()), shard, chance);
    while switch.poll().is_some() {}
    (switch, config)
}

/// A moment so long after the state is read.
pub fn after(time: Duration) -> Now {
    Now {
        at: Instant::default() + time,
        wall: Wall::from_millis(NOW).plus(time),
    }
}

/// The call of this state, as a process that died has left it.
pub fn left(state: &[u8], fate: Fate) -> Left<'_> {
    Left {
        record: serde_json::from_str::<Cdr>(RECORD).expect("a record"),
        state,
        acked: false,
        died: Wall::from_millis(NOW),
        fate,
    }
}

/// The input is a state.
pub fn run(bytes: &[u8]) {
    for fate in [Fate::GoesOn, Fate::Ends, Fate::Over] {
        let (mut switch, config) = switch();
        let outline = kept::outline(bytes, &config.media);
        let call = left(bytes, fate);
        let id = call.record.call_id;
        if let Err(why) = switch.restore(after(Duration::ZERO), call) {
            assert!(why.to_string().len() > 20, "a sentence");
            assert!(switch.is_idle(), "nothing is changed");
            assert!(switch.poll().is_none(), "nothing is said");
            continue;
        }
        assert!(outline.is_ok(), "who can be gone on with can be outlined");
        let mut time = Duration::ZERO;
        for step in 0..STEPS {
            while let Some(output) = switch.poll() {
                if let Output::Journal(CallEntry::Kept { state, .. }) = output {
                    assert!(kept::outline(&state, &config.media).is_ok(), "kept anew");
                }
            }
            if step == 20 {
                let hangup = Command::Hangup(AskId(1), id);
                switch.handle(after(time), Input::Order(hangup));
                continue;
            }
            let Some(next) = switch.timeout() else { break };
            time = time.max(next - Instant::default());
            switch.handle(after(time), Input::Timeout);
        }
        assert!(switch.is_idle(), "something is left of it: {switch:?}");
    }
}
