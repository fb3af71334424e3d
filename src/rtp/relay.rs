//! The relay: what comes in on one leg's port goes out on the other leg's, renumbered and under our own name.
//!
//! Pure: the simulator and the media threads run the same one. It is told what arrived and what the time is;
//! it answers where a packet goes, says the frames of sounds that are due ([`Relay::speak`]), and holds what else we say
//! ourselves ([`Relay::poll_out`]) and silence ([`Relay::poll_dead`]) until they are asked for. A packet costs no lock, hash, allocation or log.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use arrayvec::ArrayVec;

use super::dtmf::{Digit, Keypad};
use super::ear::events::Events;
use super::ear::{Ear, Heard, Listening};
use super::flow::{Counts, FlowSpec, Payload, Payloads, RtcpPort, Stream, Way};
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::packet;
use super::rtcp::{self, Ending};
use super::tap::{Tap, Taps};
use super::twice::Twice;
use crate::base::chance::Chance;
use crate::base::limits::UDPTL_BYTES_MAX;
use crate::base::time::{Instant, Wall};
use crate::base::timer::{TimerId, Timers};

mod flow;
mod keys;
mod player;
mod reports;
mod secure;
mod silence;
mod tapped;

use player::{Playing, Rounds};
use secure::Crypt;
use tapped::Leaves;

/// Reports, and looks for silence, are due at whole steps of this: what is due within one costs one wake-up, however
/// many flows there are. Two hundred and fifty steps lie between the shortest interval of reports and the longest.
const STEP: Duration = Duration::from_millis(20);
/// How many of our last SRs the other side may still refer to.
const SRS_KEPT: usize = 4;
/// A round trip longer than this, in 1/65,536 s, is a peer's mistake.
const ROUND_TRIP_MAX: i32 = 60 << 16;
/// A round trip may come out shorter than nothing by this much, in 1/65,536 s: the peer's delay is rounded.
const ROUND_TRIP_SLACK: i32 = 1 << 8;
/// Keys that one packet may tell, mostly: for more the queue grows.
const HEARD: usize = 16;
/// A pair is looked at for silence no more often than this, whatever its time-out is.
const SILENCE_CHECK_MIN: Duration = Duration::from_secs(1);

/// Where a packet goes. Its bytes lie in the buffer that the relay was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The port of ours that it leaves from.
    pub port: u32,
    /// The other leg's peer.
    pub to: SocketAddr,
    /// Which part of the buffer is the packet.
    pub bytes: Range<usize>,
}

/// All flows of one range of ports. RTP ports are even, and each one's RTCP port is the next.
pub struct Relay {
    chance: Chance,
    first: u32,
    /// By `(port - first) / 2`.
    flows: Vec<Option<Box<Flow>>>,
    /// The wall clock at instant zero: sender reports carry it.
    wall: Wall,
    timers: Timers<Due>,
    rounds: Rounds,
    out: VecDeque<(u32, SocketAddr, Vec<u8>)>,
    dead: VecDeque<u32>,
    heard: VecDeque<(u32, Keyed)>,
    rolled: VecDeque<(u32, u32)>,
    /// Who takes what taps hear, if anybody records.
    taps: Option<Box<dyn Taps>>,
}

/// A key that a flow's peer pressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keyed {
    /// As an event that isn't relayed: the other leg has agreed on no events at that clock, and whoever asks may have
    /// another way to tell it; or we are between the two.
    Across(Digit),
    /// To us, who listen.
    ToUs(Heard),
}

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// A report on this flow.
    Report(u32),
    /// A look whether this flow and the one it is joined with are silent.
    Silence(u32),
    /// The next packet of an event of ours on this flow.
    Beat(u32),
}

/// One leg.
struct Flow {
    port: u32,
    payloads: Payloads,
    way: Way,
    takes: Takes,
    rtcp_port: RtcpPort,
    timeout: Option<Duration>,
    inbound: Inbound,
    outbound: Outbound,
    /// The port of the leg that this one is joined with.
    joined: Option<u32>,
    report_timer: TimerId,
    /// When we last reported.
    reported: Instant,
    has_reported: bool,
    /// The middle NTP times of our last SRs.
    srs: ArrayVec<u32, SRS_KEPT>,
    /// An SSRC of ours that is no more, and of which the peer hasn't been told yet.
    retired: Option<u32>,
    /// What the peer says of our stream under this SSRC, and before under others.
    remote: Remote,
    /// On one flow of a pair: the next look for silence.
    silence_timer: Option<TimerId>,
    /// When the pair was said to be dead.
    said_dead: Option<Instant>,
    /// Keys that we press; absent nearly always.
    keys: Option<Box<Keys>>,
    /// The sound that its peer hears of us.
    playing: Option<Box<Playing>>,
    /// When the next frame would have been due of a sound that ended or was hushed: another one goes on there.
    beat: Option<Instant>,
    /// The events that its peer is sending, if the other leg has none.
    events: Option<Box<Events>>,
    /// What listens to its peer; absent if nobody does.
    ear: Option<Box<Ear>>,
    /// What becomes of the events that its peer sends, where no ear takes them.
    events_go: EventsGo,
    /// The keys that its peer has told, by a message or as events; absent until it tells one.
    twice: Option<Box<Twice>>,
    /// What secures it; absent if nothing does.
    crypt: Option<Box<Crypt>>,
    /// Where what its peer hears is recorded; `None` if it isn't.
    tap: Option<Tap>,
}

/// What becomes of the events that a flow's peer sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum EventsGo {
    /// They are relayed as they come, if the other leg takes any.
    On,
    /// They are told above, a key at a time.
    Up,
}

/// What may come to a flow's RTP port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Takes {
    /// RTP.
    Rtp,
    /// RTP, and RTCP among it.
    RtpAndRtcp,
    /// The datagrams of a fax.
    Udptl,
}

impl Takes {
    const fn by(spec: &FlowSpec) -> Self {
        match (spec.stream, spec.rtcp_port) {
            (Stream::Udptl, _) => Self::Udptl,
            (Stream::Rtp, RtcpPort::Shared) => Self::RtpAndRtcp,
            (Stream::Rtp, RtcpPort::Own) => Self::Rtp,
        }
    }

    const fn is_fax(self) -> bool {
        match self {
            Self::Udptl => true,
            Self::Rtp | Self::RtpAndRtcp => false,
        }
    }
}

/// Keys being pressed on a flow.
struct Keys {
    pad: Keypad,
    /// The timestamp of the event that is under way.
    timestamp: u32,
    /// When the next packet is due.
    due: Instant,
    timer: TimerId,
}

/// The losses that a peer reports of what we send it.
#[derive(Clone, Copy, Default)]
struct Remote {
    /// Under SSRCs of ours that are no more.
    before: u64,
    /// Under the present one; `None` until it was reported on.
    lost: Option<i32>,
}

impl Relay {
    /// A relay for the RTP ports `first..=last` (an odd `first` begins at the next). Their names are the caller's: a
    /// UDP port, with the address that it is on above. `wall` is what the wall clock
    /// shows at instant zero; `chance` draws SSRCs, CNAMEs and beginnings.
    pub fn new(chance: Chance, first: u32, last: u32, wall: Wall) -> Self {
        let first = first.saturating_add(first & 1);
        let pairs = (last.saturating_sub(first) as usize).saturating_add(1) / 2;
        Self {
            chance,
            first,
            flows: std::iter::repeat_with(|| None).take(pairs).collect(),
            wall,
            timers: Timers::default(),
            rounds: Rounds::default(),
            out: VecDeque::new(),
            dead: VecDeque::new(),
            heard: VecDeque::with_capacity(HEARD),
            rolled: VecDeque::new(),
            taps: None,
        }
    }

    /// A flow begins on `port`, with an SSRC and a CNAME of its own. Without effect on a port out of the range;
    /// a flow that was there ends unreported.
    pub fn open(&mut self, now: Instant, port: u32, spec: &FlowSpec) {
        let Some(index) = self.index(port) else {
            return;
        };
        self.close(now, port);
        // RFC 3550 §6.2: the first report comes after half the interval.
        let first_report = whole_step(now + self.report_interval() / 2);
        let mut flow = Box::new(Flow {
            port,
            payloads: spec.payloads.clone(),
            way: spec.way,
            takes: Takes::by(spec),
            rtcp_port: spec.rtcp_port,
            timeout: spec.timeout,
            inbound: Inbound::new(now, spec),
            outbound: Outbound::new(&mut self.chance),
            joined: None,
            report_timer: self.timers.set(first_report, Due::Report(port)),
            reported: now,
            has_reported: false,
            srs: ArrayVec::new(),
            retired: None,
            remote: Remote::default(),
            silence_timer: None,
            said_dead: None,
            keys: None,
            playing: None,
            beat: None,
            events: None,
            ear: None,
            events_go: EventsGo::On,
            twice: None,
            crypt: None,
            tap: None,
        });
        flow.secure(&mut self.chance, spec.security.as_deref());
        self.flows[index] = Some(flow);
    }

    /// A flow that another process had goes on, as one that begins: under another SSRC, and on a timeline of its own.
    pub fn resume(&mut self, now: Instant, port: u32, spec: &FlowSpec) {
        self.open(now, port, spec);
        if let Some(flow) = self.flow(port) {
            flow.inbound.address.resume();
        }
    }

    /// New SDP on this leg. Another address starts learning all over; waiting for signs of life starts anew.
    pub fn change(&mut self, now: Instant, port: u32, spec: &FlowSpec) {
        let flow = self.index(port).and_then(|index| self.flows.get_mut(index));
        let Some(flow) = flow.and_then(Option::as_deref_mut) else {
            return;
        };
        if let Some(before) = flow.secure(&mut self.chance, spec.security.as_deref()) {
            flow.retire(before, now, &mut self.timers);
        }
        let takes = Takes::by(spec);
        let is_other_way = flow.way != spec.way || flow.takes.is_fax() != takes.is_fax();
        flow.takes = takes;
        flow.payloads.clone_from(&spec.payloads);
        flow.way = spec.way;
        flow.rtcp_port = spec.rtcp_port;
        flow.timeout = spec.timeout;
        flow.inbound.address.change(now, spec);
        flow.inbound.alive = now;
        let joined = flow.joined;
        if is_other_way {
            // What isn't relayed during a hold, or a fax, shan't look like loss after it.
            flow.outbound.pause();
            flow.inbound.heard = now;
            if let Some(other) = joined.and_then(|port| self.flow(port)) {
                other.outbound.pause();
            }
        }
        self.watch(port);
    }

    /// What comes in on `a` goes out on `b`, and the other way round. Each leaves whatever it was joined with.
    /// Waiting for signs of life begins.
    pub fn join(&mut self, now: Instant, a: u32, b: u32) {
        if a == b || self.flow(a).is_none() || self.flow(b).is_none() {
            return;
        }
        self.part(a);
        self.part(b);
        for (port, other) in [(a, b), (b, a)] {
            if let Some(flow) = self.flow(port) {
                flow.joined = Some(other);
                flow.inbound.alive = now;
                flow.inbound.heard = now;
                flow.outbound.pause();
            }
        }
        self.watch(a);
    }

    /// The flow ends, with an RTCP BYE if its peer ever heard of us; the one that it was joined with falls silent.
    /// Its counts; `None` if there was none.
    pub fn close(&mut self, now: Instant, port: u32) -> Option<Counts> {
        self.flow(port)?;
        self.part(port);
        let index = self.index(port)?;
        let mut flow = self.flows.get_mut(index)?.take()?;
        self.timers.cancel(flow.report_timer);
        if let Some(playing) = flow.playing.take() {
            self.rounds.leave(playing.slot(), port);
        }
        if let Some(keys) = flow.keys.take() {
            self.timers.cancel(keys.timer);
        }
        // RFC 3550 §6.3.7: no BYE from whom nothing was heard.
        if (flow.has_reported || flow.outbound.has_sent())
            && !flow.takes.is_fax()
            && let Some(to) = flow.inbound.address.rtcp_to()
        {
            let ending = Ending::Bye(flow.outbound.ssrc());
            let bytes = flow.report(now, self.wall, ending);
            let from = flow.rtcp_from(port);
            self.out
                .extend(flow.sealed_report(bytes).map(|bytes| (from, to, bytes)));
        }
        Some(flow.counts(now))
    }

    /// What was counted on a flow so far; `None` if there is none.
    pub fn counts(&mut self, now: Instant, port: u32) -> Option<Counts> {
        self.flow(port).map(|flow| flow.counts(now))
    }

    /// An RTP packet came from `from` on `port`: the first `length` bytes of `buffer`. Where it goes on, if it does;
    /// `buffer` then holds it. One that goes on secured needs [`RTP_GROWTH_MAX`](super::srtp::RTP_GROWTH_MAX) bytes
    /// more than it came with.
    #[inline]
    pub fn rtp(
        &mut self,
        now: Instant,
        port: u32,
        from: SocketAddr,
        buffer: &mut [u8],
        length: usize,
    ) -> Option<Outgoing> {
        let index = self.index(port)?;
        let flow = self.flows.get_mut(index)?.as_deref_mut()?;
        let mut packet = buffer.get_mut(..length)?;
        match flow.takes {
            Takes::Rtp => {}
            Takes::RtpAndRtcp if rtcp::is_rtcp(packet) => {
                self.rtcp(now, port, from, packet);
                return None;
            }
            Takes::RtpAndRtcp => {}
            Takes::Udptl => return self.udptl(now, port, from, packet.len()),
        }
        if let Some(crypt) = &mut flow.crypt {
            // Before anything is believed of it, its sender's address too.
            let Some(length) = crypt.open.rtp(packet) else {
                flow.drop_forged();
                return None;
            };
            packet = packet.get_mut(..length)?;
        }
        let Some((header, body)) = packet::read(packet) else {
            flow.drop_one();
            return None;
        };
        let payload = flow
            .payloads
            .iter()
            .find(|p| p.number == header.payload_type)
            .copied();
        let timeline = flow.inbound.take(now, from, &header, payload.as_ref());
        let (Some(timeline), true) = (timeline, flow.way.receives()) else {
            flow.drop_one();
            return None;
        };
        if let Some(ear) = &mut flow.ear {
            let body = packet.get(body.clone()).unwrap_or_default();
            ear.hear(now, &header, payload.as_ref(), body, |heard| {
                self.heard.push_back((port, Keyed::ToUs(heard)));
            });
        }
        let events_go = flow.events_go;
        let goes_up = |payload: &Payload| payload.is_event && events_go == EventsGo::Up;
        let relayed = payload.filter(|payload| !goes_up(payload));
        let agreed = relayed.and_then(|payload| Some((payload, payload.other?)));
        let Some((payload, number)) = agreed else {
            match payload {
                Some(payload) if flow.ear.is_some() || goes_up(&payload) => flow.count_in(now, &payload),
                Some(_) | None => flow.drop_foreign(header.payload_type),
            }
            if let Some(event) = payload.filter(|payload| payload.is_event && flow.ear.is_none()) {
                let payload = packet.get(body).unwrap_or_default();
                let heard = flow.hear_key(now, &header, event.clock_hz, payload);
                self.heard.extend(heard.map(|digit| (port, Keyed::Across(digit))));
                if goes_up(&event) {
                    self.left_out(port);
                }
            }
            return None;
        };
        flow.count_in(now, &payload);
        let joined = flow.joined?;
        if payload.is_event {
            let event = packet.get(body.clone()).unwrap_or_default();
            if self.is_told(now, port, joined, &header, event) {
                return None;
            }
        }
        let is_back = !payload.is_event && std::mem::take(&mut self.flow(port)?.inbound.is_back);
        let index = self.index(joined)?;
        let other = self.flows.get_mut(index)?.as_mut()?;
        if !other.way.sends() {
            return None;
        }
        let to = other.inbound.address.to()?;
        let clock_hz = (!payload.is_event).then_some(payload.clock_hz);
        let before = other.outbound.ssrc();
        let mut header = other
            .outbound
            .carry(now, &mut self.chance, &header, timeline, clock_hz)?;
        if header.ssrc != before {
            other.retire(before, now, &mut self.timers);
        }
        header.payload_type = number;
        let bytes = packet::write(&header, packet, body)?;
        let leaves = if payload.is_event {
            Leaves::Event
        } else if is_back {
            Leaves::Back(payload.coding)
        } else {
            Leaves::Audio(payload.coding)
        };
        let bytes = other.leave(now, leaves, buffer, bytes, &mut self.taps)?;
        Some(Outgoing {
            port: joined,
            to,
            bytes,
        })
    }

    /// A datagram of a fax came: it goes on whole, if its sender is believed and the other leg is a fax too.
    #[cold]
    fn udptl(&mut self, now: Instant, port: u32, from: SocketAddr, length: usize) -> Option<Outgoing> {
        let flow = self.flow(port)?;
        let is_theirs = flow.inbound.take_datagram(now, from);
        if !is_theirs || length > UDPTL_BYTES_MAX || !flow.way.receives() {
            flow.drop_one();
            return None;
        }
        flow.inbound.heard = now;
        flow.inbound.counts.packets_in += 1;
        let joined = flow.joined?;
        let other = self.flow(joined)?;
        if !other.way.sends() || !other.takes.is_fax() {
            return None;
        }
        let to = other.inbound.address.to()?;
        other.inbound.counts.packets_out += 1;
        Some(Outgoing {
            port: joined,
            to,
            bytes: 0..length,
        })
    }

    /// Does what is due: reports, looks for silence.
    pub fn tick(&mut self, now: Instant) {
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                Due::Report(port) => self.report(now, port),
                Due::Silence(port) => self.look(now, port),
                Due::Beat(port) => self.beat(now, port),
            }
        }
    }

    /// When [`Relay::tick`] or [`Relay::speak`] has something to do.
    pub fn timeout(&self) -> Option<Instant> {
        self.timers.next().into_iter().chain(self.rounds.next()).min()
    }

    /// A packet of our own, RTCP or an event: the port that it leaves from, where to, and its bytes.
    /// To be asked until `None` after every tick, digit and close.
    pub fn poll_out(&mut self) -> Option<(u32, SocketAddr, Vec<u8>)> {
        self.out.pop_front()
    }

    /// The port of one flow of a pair that has been silent, RTCP too, for the time-out of both. Said once, until
    /// something comes again.
    pub fn poll_dead(&mut self) -> Option<u32> {
        self.dead.pop_front()
    }

    /// A key that the peer of this port pressed, if it isn't the relay's to pass on. To be asked until `None` after every
    /// packet.
    pub fn poll_heard(&mut self) -> Option<(u32, Keyed)> {
        self.heard.pop_front()
    }

    /// Whether the peer of `port` is listened to from now on; if it was already, nothing changes. What it sends is
    /// relayed all the same, if it is joined with anybody. Without effect if there is no flow.
    pub fn listen(&mut self, port: u32, listening: Listening) {
        let Some(flow) = self.flow(port) else { return };
        match listening {
            Listening::Yes => {
                flow.ear.get_or_insert_default();
            }
            Listening::No | Listening::Between => flow.ear = None,
        }
        flow.events_go = match listening {
            Listening::Yes | Listening::No => EventsGo::On,
            Listening::Between => EventsGo::Up,
        };
    }

    /// The port of a secured flow whose peer's sequence numbers have rolled over, and how often by now: whoever goes on
    /// with it has to know. To be asked until `None` after every tick.
    pub fn poll_rolled(&mut self) -> Option<(u32, u32)> {
        self.rolled.pop_front()
    }

    /// How many flows are open.
    pub fn flows(&self) -> usize {
        self.flows.iter().flatten().count()
    }

    fn index(&self, port: u32) -> Option<usize> {
        let offset = port.checked_sub(self.first)?;
        let index = (offset / 2) as usize;
        (offset % 2 == 0 && index < self.flows.len()).then_some(index)
    }

    fn flow(&mut self, port: u32) -> Option<&mut Flow> {
        let index = self.index(port)?;
        self.flows.get_mut(index)?.as_deref_mut()
    }
}

/// This instant or the next one at which things are done together.
fn whole_step(at: Instant) -> Instant {
    let step = STEP.as_micros() as u64;
    Instant::from_micros(at.as_micros().div_ceil(step).saturating_mul(step))
}

#[cfg(test)]
mod tests;
