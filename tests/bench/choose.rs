//! What the pool's choice of a number costs the writer: on a table of a million bindings and a hundred thousand
//! numbers, beside the same on a table of a hundred numbers with a binding each.

use std::time::Instant;

use umbra::base::chance::Chance;
use umbra::base::number::{NumberPlan, RealNumber, Tel, VirtualNumber};
use umbra::base::time::Wall;
use umbra::masking::binding::Terms;
use umbra::masking::request::{
    BindRequest, DryRun, OnConflict, PoolChoice, Refused, Wanted, Write, Written, XChoice,
};
use umbra::masking::table::Table;

use crate::{Length, Rounds, Row, short};

/// A table, and what it is written with.
struct World {
    table: Table,
    chance: Chance,
    now: Wall,
}

impl World {
    /// So many numbers, with so many pairs on each.
    fn of(numbers: u64, pairs: u64) -> Self {
        let mut world = Self {
            table: Table::new(),
            chance: Chance::from_number(7),
            now: Wall::from_millis(1_795_000_000_000),
        };
        for n in 0..numbers {
            let x = VirtualNumber::new(tel(&format!("170{n:08}")));
            world.write(&Write::add_number(x)).expect("a new number");
        }
        for n in 0..numbers * pairs {
            let x = VirtualNumber::new(tel(&format!("170{:08}", n % numbers)));
            let (a, b) = (person(138, n), person(139, n));
            world.write(&bind(XChoice::Given(x), a, b)).expect("free keys");
        }
        world
    }

    fn write(&mut self, write: &Write) -> Result<Written, Refused> {
        let planned = self.table.plan(write, self.now, &mut self.chance)?;
        self.table.apply(self.table.seq() + 1, &planned.change);
        Ok(planned.written)
    }

    /// Microseconds of one choice, without writing what was chosen.
    fn choices_us(&mut self, count: u64, a: impl Fn(u64) -> RealNumber) -> f64 {
        let begun = Instant::now();
        for n in 0..count {
            let write = bind(from_pool(), a(n), person(137, n));
            // Refused, too: a full pool has to say so.
            let _ = std::hint::black_box(self.table.plan(&write, self.now, &mut self.chance));
        }
        begun.elapsed().as_secs_f64() * 1e6 / count as f64
    }
}

fn tel(digits: &str) -> Tel {
    NumberPlan::default().normalise(digits).expect("a whole number")
}

fn person(prefix: u32, n: u64) -> RealNumber {
    RealNumber::new(tel(&format!("{prefix}{n:08}")))
}

fn from_pool() -> XChoice {
    XChoice::FromPool(PoolChoice {
        pool: "default".into(),
        city: None,
    })
}

fn bind(x: XChoice, a: RealNumber, b: RealNumber) -> Write {
    Write::Bind(BindRequest {
        x,
        parties: Wanted::Axb { a, b },
        terms: Terms::default(),
        expires: None,
        on_conflict: OnConflict::Fail,
        dry_run: DryRun::No,
    })
}

/// A row for a choice among free numbers, for one by somebody who is on all numbers but one, and for the
/// refusal when he is on all.
pub fn measure(length: Length) -> Vec<Row> {
    let (numbers, rounds) = (length.choose(1_000, 100_000), length.choose(1, 5));
    let count = length.choose(200, 20_000);
    let mut large = World::of(numbers, 10);
    let mut small = World::of(100, 1);
    let crowd = person(136, 0);
    let row = |large: &mut World, small: &mut World, what: &str, a: &dyn Fn(u64) -> RealNumber| {
        let (mut found, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (ours, least) = (large.choices_us(count, a), small.choices_us(count, a));
            ratios.push(ours / least);
            found.push(ours);
            bare.push(least);
        }
        Row {
            ours: Rounds::of(found).show("µs"),
            bare: Rounds::of(bare).show("µs"),
            ratio: format!("{} ×", short(Rounds::of(ratios).median())),
            ..Row::new(
                &format!("a pool's choice, {what}"),
                format!(
                    "planned, not written; {numbers} numbers with 10 pairs each; bare: 100 numbers with one each"
                ),
            )
        }
    };
    let mut rows = vec![row(&mut large, &mut small, "of free numbers", &|n| {
        person(135, n)
    })];
    for (world, numbers) in [(&mut large, numbers), (&mut small, 100)] {
        for n in 1..numbers {
            let write = bind(from_pool(), crowd, person(134, n));
            world.write(&write).expect("more numbers than bindings");
        }
    }
    rows.push(row(&mut large, &mut small, "of the one number left", &|_| crowd));
    for world in [&mut large, &mut small] {
        world
            .write(&bind(from_pool(), crowd, person(134, 0)))
            .expect("one is left");
    }
    rows.push(row(&mut large, &mut small, "refused for want of one", &|_| crowd));
    rows
}
