//! One seed, one history: who there is, on what network, and what everybody means to do.

use std::time::Duration;

#[path = "plots.rs"]
mod plots;

use umbra::base::chance::Chance;
use umbra::call::recording::{Control, Fault};
use umbra::masking::binding::Mode;
use umbra::masking::inventory::{Fax, Freeze};

use crate::moods::{Crowd, Deed, Reload};
use crate::support::cast::Cast;
use crate::support::stage::{Binding, Doing, Large, Setup, Speaks, Stage};
use crate::support::world::owner::Amend;
use crate::support::world::recorder::Loss;
use crate::support::world::restart::{Kill, Moment};
use crate::support::world::{Weather, World};

/// Longer than any of it can take.
const END: Duration = Duration::from_secs(1_200);

/// Plays a seed to its end. So many of a thousand packets are mangled.
pub fn live(seed: u64, mangled: u32) -> Crowd {
    let mut chance = Chance::from_number(seed ^ 0x5EED);
    let setup = stage(seed, &mut chance);
    let (gateways, ring) = (setup.gateways as u32, setup.clone());
    let mut world = World::new(setup, seed);
    if !seed.is_multiple_of(3) {
        world.weather = Weather {
            delay_min: 0,
            delay_max: chance.below(300_000),
            loss: chance.below(200),
            dup: chance.below(50),
            mangled: 0,
            late: if chance.below(3) == 0 { 20 } else { 0 },
        };
    }
    world.weather.mangled = mangled;
    for _ in 0..chance.below(4) {
        world.taken.insert(20_000 + 2 * chance.below(200) as u16);
    }
    world.bind_delay = Duration::from_millis(chance.below(50).into());
    let mut plot = Plot {
        cast: Cast::on(world),
        chance,
        plans: Vec::new(),
        records: Chance::from_number(seed ^ 0x8EC0),
        is_recorded: is_recorded(seed),
    };
    // One whom numbers are given to that had belonged to others, and one who has no business here.
    let other = plot.join("D", "15755512340");
    let stranger = plot.join("C", "13700000009");
    // And one to whom others send their calls on.
    plot.join("E", ONWARD);
    for pair in 0..1 + plot.chance.below(4) {
        match plot.chance.below(12) {
            0 | 1 => plot.ax(pair, "ax", &other, &stranger),
            2 => plot.ax(pair, "axn", &other, &stranger),
            3 | 4 => plot.axyb(pair, &other, &stranger),
            5 => plot.group(pair, &other, &stranger),
            6 => plot.work(pair, &other, &stranger),
            7 => plot.hotline(pair, &other, &stranger),
            8 => plot.extensions(pair, &other, &stranger),
            _ => plot.axb(pair, &other),
        }
        let spray = Deed::Spray(20_000 + 2 * plot.chance.below(20) as u16);
        plot.plan(60_000, spray);
    }
    if plot.is_recorded && plot.records.below(2) == 0 {
        plot.class_95(&other, &stranger);
    }
    plot.call(stranger.index, "17000000000");
    plot.call(stranger.index, "17900000000");
    plot.troubles(gateways);
    plot.connections(&ring);
    let ipv6 = [ring.home, ring.gateway].iter().any(|s| s.is_v6());
    let has_v6 = ring.media_on.iter().any(|name| name == "v6");
    for phone in 0..plot.cast.phones.len() {
        if ipv6 || has_v6 && plot.chance.below(2) == 0 {
            plot.cast.phones[phone].media_v6 = Some(ring.first_port_v6_of(phone));
        }
    }
    let Plot {
        cast, chance, plans, ..
    } = plot;
    let mut crowd = Crowd::new(cast, chance);
    crowd.talkative = seed % 8 == 5;
    for (ms, deed) in plans {
        crowd.plan(Duration::from_millis(ms.into()), deed);
    }
    for (ms, deed) in of_recordings(seed) {
        crowd.plan(Duration::from_millis(ms.into()), deed);
    }
    for (ms, kill) in kills(seed) {
        crowd.plan(Duration::from_millis(ms.into()), Deed::Kill(kill));
    }
    crowd.live(END);
    crowd
}

/// Whom calls are sent on to.
pub const ONWARD: &str = "13311122230";

/// Whether this history's calls are recorded.
fn is_recorded(seed: u64) -> bool {
    seed.is_multiple_of(5)
}

/// What befalls recordings, by a chance of its own.
fn of_recordings(seed: u64) -> Vec<(u32, Deed)> {
    let mut chance = Chance::from_number(seed ^ 0x7A9E);
    let count = if is_recorded(seed) { chance.below(12) } else { 0 };
    let some = |_| {
        let deed = match chance.below(8) {
            0 | 1 => Deed::Control(Control::Pause),
            2 => Deed::Control(Control::Resume),
            3..=5 => Deed::Code(chance.below(100)),
            loss => {
                let why = Fault::ALL[chance.below(Fault::ALL.len() as u32) as usize];
                let loss = if loss == 6 { Loss::Some } else { Loss::All };
                Deed::Unkept(why, loss)
            }
        };
        (chance.below(90_000), deed)
    };
    (0..count).map(some).collect()
}

/// When and how the process is killed, in every other history: by a chance of their own, so that the histories are the
/// same but for that.
fn kills(seed: u64) -> Vec<(u32, Kill)> {
    let mut chance = Chance::from_number(seed ^ 0xDEAD);
    let count = [0, 0, 0, 1, 1, 1, 2, 3][chance.below(8) as usize];
    let some = |_| {
        let moment = match chance.below(16) {
            0..=4 => Moment::Idle,
            5..=9 => Moment::Writing,
            10..=14 => Moment::Sending,
            _ => Moment::PowerLoss,
        };
        let away = match chance.below(24) {
            0..=7 => chance.below(20),
            8..=15 => chance.below(1_000),
            16..=22 => chance.below(8_000),
            _ => 120_001 + chance.below(10_000),
        };
        let kill = Kill {
            moment,
            after: chance.below(12),
            away: Duration::from_millis(u64::from(1 + away)),
            shards: match (seed.is_multiple_of(2), chance.below(5)) {
                (true, 1..) | (false, 0) => 1,
                (true, 0) | (false, 1..) => 3,
            },
        };
        (chance.below(110_000), kill)
    };
    (0..count).map(some).collect()
}

/// Where it is played.
fn stage(seed: u64, chance: &mut Chance) -> Setup {
    let mut setup = Setup {
        shards: if seed.is_multiple_of(2) { 1 } else { 3 },
        ring: Duration::from_secs(20),
        gateways: 1 + chance.below(2) as usize,
        latch: chance.below(2) == 0,
        media_timeout: Duration::from_secs(if chance.below(3) == 0 { 15 } else { 300 }),
        silence: Duration::from_secs(1 + u64::from(chance.below(5))),
        follows: chance.below(3) == 0,
        berths: if chance.below(5) == 0 { 4 } else { 100 },
        alarms: vec!["PortsDry".into(), "PortTaken".into()],
        rtcp_mux: match chance.below(8) {
            0 => "offer",
            1 => "off",
            _ => "answer",
        }
        .to_owned(),
        keys_by_info: chance.below(4) == 0,
        reliable: ["offer", "offer", "require", "off"][chance.below(4) as usize].into(),
        session_timer: ["accept", "offer", "off"][chance.below(3) as usize].into(),
        session_expires_s: 90 + chance.below(60),
        names_charging: chance.below(4) == 0,
        names_sessions: chance.below(4) == 0,
        ..Setup::on(Setup::LAST)
    };
    // In some every call is recorded, or those of some bindings, and in some of these a code pauses it.
    if is_recorded(seed) {
        let since = ["answer", "early_media"][usize::from(seed.is_multiple_of(2))];
        setup.recordings = Some(since.to_owned());
        if !seed.is_multiple_of(3) {
            setup.trunk.push("record = true".to_owned());
        }
        if !seed.is_multiple_of(4) {
            setup.pausing = Some(("*7".to_owned(), "both".to_owned()));
        }
    }
    // One in three by something else than UDP over IPv4.
    match chance.below(24) {
        0 => setup.home = Speaks::Tcp,
        1 => setup.gateway = Speaks::Tcp,
        2 => (setup.home, setup.gateway) = (Speaks::Tcp, Speaks::Tcp),
        3 => setup.home = Speaks::Udp6,
        4 => setup.gateway = Speaks::Udp6,
        5 => (setup.home, setup.gateway) = (Speaks::Tcp6, Speaks::Udp6),
        6 => setup.large = Large::Heard,
        7 => setup.large = Large::Refused,
        _ => {}
    }
    let more: &[&str] = match chance.below(10) {
        0 => &["v4", "four"],
        1 => &["v4", "v6"],
        2 => &["v4", "four", "v6"],
        _ if setup.home.is_v6() || setup.gateway.is_v6() => &["v4", "v6"],
        _ => &["v4"],
    };
    let ipv6 = setup.home.is_v6() || setup.gateway.is_v6();
    setup.media_on = more.iter().map(|name| (*name).to_owned()).collect();
    if ipv6 && !more.contains(&"v6") {
        setup.media_on.push("v6".to_owned());
    }
    setup
}

/// Somebody.
#[derive(Clone)]
struct Person {
    index: usize,
    number: String,
}

/// A history before it begins.
struct Plot {
    cast: Cast<World>,
    chance: Chance,
    plans: Vec<(u32, Deed)>,
    /// Which bindings want their calls recorded.
    records: Chance,
    is_recorded: bool,
}

impl Plot {
    fn one_in(&mut self, n: u32) -> bool {
        self.chance.below(n) == 0
    }

    /// Some time within so many milliseconds.
    fn plan(&mut self, within: u32, deed: Deed) {
        self.plans.push((self.chance.below(within), deed));
    }

    fn call(&mut self, phone: usize, number: &str) {
        self.plan(60_000, Deed::Call(phone, number.to_owned()));
    }

    fn join(&mut self, name: &str, number: &str) -> Person {
        Person {
            index: self.cast.join(name, number, false),
            number: number.to_owned(),
        }
    }

    fn some<'p>(&mut self, people: &[&'p Person]) -> &'p Person {
        people[self.chance.below(people.len() as u32) as usize]
    }

    /// Two people of a pair. So different that no change of a few bytes makes one of the other.
    fn two(&mut self, pair: u32) -> [Person; 2] {
        [("A", "138", "13572"), ("B", "159", "90864")].map(|(name, head, middle)| {
            let number = format!("{head}{pair}{middle}{pair}{pair}");
            self.join(&format!("{name}{pair}"), &number)
        })
    }

    /// What may happen to every number.
    fn owner(&mut self, x: &str) {
        if self.one_in(3) {
            self.plan(80_000, Deed::Unbind(x.to_owned()));
        }
        if self.one_in(8) {
            let causes = [Freeze::Arrears, Freeze::Complaint, Freeze::Regulator];
            let cause = causes[self.chance.below(3) as usize];
            self.plan(60_000, Deed::Order(Doing::Freeze(cause), Some(x.to_owned())));
        }
        if self.one_in(10) {
            self.plan(60_000, Deed::Order(Doing::Lock, Some(x.to_owned())));
        }
    }

    fn terms(&mut self) -> Binding {
        let directions = ["a-to-b", "b-to-a"];
        let direction = directions[self.chance.below(2) as usize];
        Binding {
            direction: self.one_in(6).then(|| direction.to_owned()),
            ttl: self.one_in(6).then(|| Duration::from_secs(61)),
            max: self.one_in(3).then(|| Duration::from_secs(60)),
            record: self.is_recorded && self.records.below(2) == 0,
            cues: (self.is_recorded && self.records.below(3) == 0)
                .then(|| ("record_tone".to_owned(), "both".to_owned()))
                .into_iter()
                .collect(),
            ..Binding::default()
        }
    }

    fn axb(&mut self, pair: u32, other: &Person) {
        let x = format!("1700000000{pair}");
        let [a, b] = self.two(pair);
        self.cast.stage.own(&x);
        let binding = Binding {
            x: x.clone(),
            a: a.number.clone(),
            b: b.number.clone(),
            ..self.terms()
        };
        self.cast.stage.bind(&binding);
        for _ in 0..1 + self.chance.below(3) {
            let caller = self.some(&[&a, &b]);
            self.call(caller.index, &x);
        }
        if self.one_in(3) {
            let b = self.some(&[&b, other]).number.clone();
            self.plan(80_000, Deed::Bind(Binding { b, ..binding.clone() }));
        }
        if self.one_in(5) {
            let amend = if self.one_in(2) {
                Amend::A(other.number.clone())
            } else {
                Amend::B(other.number.clone())
            };
            self.plan(60_000, Deed::Amend(x.clone(), amend));
            self.call(other.index, &x);
        }
        self.owner(&x);
    }

    /// A number of class 95: nothing of its calls may be recorded, whoever wants that.
    fn class_95(&mut self, a: &Person, b: &Person) {
        let x = "95588";
        self.cast.stage.own(x);
        self.cast.stage.bind(&Binding {
            x: x.to_owned(),
            a: a.number.clone(),
            b: b.number.clone(),
            record: true,
            ..Binding::default()
        });
        for caller in [a, b] {
            let at = self.records.below(60_000);
            self.plans.push((at, Deed::Call(caller.index, x.to_owned())));
        }
    }

    /// Strangers call A by X, and A calls back whom he named, often twice at once: one of them gets him.
    fn ax(&mut self, pair: u32, mode: &str, other: &Person, stranger: &Person) {
        let x = format!("1700000001{pair}");
        let [a, b] = self.two(pair);
        self.cast.stage.own_in(mode, &x);
        if mode == "ax" && self.one_in(2) {
            self.cast.stage.soften(Mode::Ax);
        }
        let binding = Binding {
            mode: mode.into(),
            x: x.clone(),
            a: a.number.clone(),
            direction: None,
            ..self.terms()
        };
        self.cast.stage.bind(&Binding {
            direction: None,
            ..binding.clone()
        });
        for _ in 0..1 + self.chance.below(3) {
            let caller = self.some(&[&b, other, stranger]);
            self.call(caller.index, &x);
        }
        for _ in 0..1 + self.chance.below(3) {
            let at = self.chance.below(60_000);
            let to = self.some(&[&b, other, stranger]).number.clone();
            let to = (!self.one_in(8)).then_some(to);
            self.plans.push((at, Deed::Name(x.clone(), to)));
            let calls = self.chance.below(3);
            let again = self.chance.below(5_000);
            for _ in 0..calls {
                self.plans.push((at + again, Deed::Call(a.index, x.clone())));
            }
        }
        self.call(a.index, &x);
        let (b, d) = (b.number.clone(), other.number.clone());
        match self.chance.below(4) {
            0 if mode == "ax" => self.plan(60_000, Deed::Amend(x.clone(), Amend::OnlyB(b))),
            1 => self.plan(60_000, Deed::Amend(x.clone(), Amend::A(d))),
            2 => self.plan(80_000, Deed::Bind(Binding { a: d, ..binding })),
            _ => {}
        }
        self.owner(&x);
    }

    /// A and B each have a number for the other; sometimes a second one on the same X.
    fn axyb(&mut self, pair: u32, other: &Person, stranger: &Person) {
        let [x, y, y2] = [2, 3, 4].map(|tens| format!("170000000{tens}{pair}"));
        let [a, b] = self.two(pair);
        for number in [&x, &y, &y2] {
            self.cast.stage.own_in("axyb", number);
        }
        let binding = Binding {
            mode: "axyb".into(),
            x: x.clone(),
            a: a.number.clone(),
            y: y.clone(),
            b: b.number.clone(),
            ..self.terms()
        };
        self.cast.stage.bind(&binding);
        let second = Binding {
            y: y2.clone(),
            b: other.number.clone(),
            ..binding.clone()
        };
        if self.one_in(2) {
            self.plan(30_000, Deed::Join(second.clone()));
        }
        for _ in 0..2 + self.chance.below(3) {
            match self.chance.below(8) {
                0 => self.call(a.index, &x),
                1 => self.call(b.index, &y),
                2 => self.call(other.index, &x),
                3 => self.call(stranger.index, &y),
                4 => self.call(a.index, &y2),
                5 | 6 => self.call(a.index, &y),
                _ => self.call(b.index, &x),
            }
        }
        match self.chance.below(4) {
            0 => self.plan(60_000, Deed::Bind(second)),
            1 => self.plan(60_000, Deed::Amend(x.clone(), Amend::B(other.number.clone()))),
            _ => {}
        }
        if self.one_in(4) {
            self.plan(60_000, Deed::Unbind(y.clone()));
        }
        if self.one_in(2) {
            self.owner(&x);
        } else {
            self.owner(&y);
        }
    }

    /// What befalls the machine, its owner and the network.
    fn troubles(&mut self, gateways: u32) {
        if self.one_in(3) {
            // Most pools pass no faxes on.
            let order = Deed::Order(Doing::Fax(Fax::Pass), None);
            self.plans.push((0, order));
        }
        if self.one_in(4) {
            let down = Deed::GatewayDown(1 + self.chance.below(gateways) as u8);
            self.plan(60_000, down);
        }
        for _ in 0..self.chance.below(3) {
            let cut = Deed::Cut(self.chance.below(100));
            self.plan(90_000, cut);
        }
        for _ in 0..self.chance.below(3) {
            let reload = [Reload::Gateways, Reload::Times, Reload::NoTrunk][self.chance.below(3) as usize];
            self.plan(90_000, Deed::Reload(reload));
        }
        if self.one_in(5) {
            self.plan(60_000, Deed::DiskFull);
        }
        if self.one_in(4) {
            let forward = Deed::SetForward(self.chance.below(7_200));
            self.plan(90_000, forward);
        }
        if self.one_in(4) {
            let storm = Deed::Storm(self.chance.below(8_000));
            self.plan(60_000, storm);
        }
        if self.one_in(15) {
            self.plan(60_000, Deed::Order(Doing::Suspend, None));
        }
        match self.chance.below(20) {
            0 => self.plan(90_000, Deed::Drain),
            1 => self.plan(90_000, Deed::EndAll),
            _ => {}
        }
    }

    /// What befalls TCP connections, where there are any.
    fn connections(&mut self, setup: &Setup) {
        let mut ends: Vec<_> = (0..self.cast.phones.len()).map(|p| self.cast.home(p)).collect();
        ends.extend((1..=setup.gateways).map(|n| setup.gateway(n as u8)));
        ends.retain(|at| setup.hears_tcp(*at));
        for at in ends {
            if self.one_in(2) {
                self.plan(80_000, Deed::Reset(at));
            }
            if self.one_in(3) {
                let stall = Deed::Stall(at, self.chance.below(40_000));
                self.plan(80_000, stall);
            }
        }
    }
}
