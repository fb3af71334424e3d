//! Whom a request joins, and what an update makes of them.

use crate::base::number::RealNumber;
use crate::masking::binding::{Mode, Parties};
use crate::masking::request::{Field, Refused, UpdateRequest, Wanted};

/// The people whom a request names: A and B.
pub(super) fn people_of(wanted: &Wanted) -> (Option<RealNumber>, Option<RealNumber>) {
    match wanted {
        Wanted::Axb { a, b } | Wanted::Axyb { a, b, .. } => (Some(*a), Some(*b)),
        Wanted::Ax { a }
        | Wanted::Axe { a, .. }
        | Wanted::Axn { a }
        | Wanted::Axn95 { a }
        | Wanted::Axg { a, .. }
        | Wanted::Paired { a }
        | Wanted::Inbound { base: a } => (Some(*a), None),
        Wanted::Gxb { b, .. } | Wanted::Gxyb { b, .. } | Wanted::Xb { b } => (None, Some(*b)),
    }
}

/// Whether X is an employee's work number by it.
pub(super) const fn is_work(parties: &Parties) -> bool {
    match parties {
        Parties::Xb { .. } => true,
        Parties::Axb { .. }
        | Parties::Ax { .. }
        | Parties::Axyb { .. }
        | Parties::Axe { .. }
        | Parties::Axn { .. }
        | Parties::Axn95 { .. }
        | Parties::Axg { .. }
        | Parties::Gxb { .. }
        | Parties::Gxyb { .. }
        | Parties::Paired { .. }
        | Parties::Inbound { .. } => false,
    }
}

/// Whether X is an employee's work number by it, or somebody is paired with him there.
pub(super) const fn is_of_work(parties: &Parties) -> bool {
    is_work(parties) || matches!(parties, Parties::Paired { .. })
}

/// What an update makes of the parties. A mode stays what it is, but for AX, which becomes AXB by getting a B.
pub(super) fn updated_parties(old: Parties, request: &UpdateRequest) -> Result<Parties, Refused> {
    let mode = old.mode();
    let has_no = |field| Err(Refused::NotOfMode { field, mode });
    let wanted = request.mode.unwrap_or(mode);
    if let (Parties::Ax { a }, Mode::Axb) = (old, wanted) {
        let a = request.a.unwrap_or(a);
        return match request.b {
            Some(b) => Ok(Parties::Axb { a, b }),
            None => Err(Refused::BoundsOf(Field::B)),
        };
    }
    if wanted != mode {
        return has_no(Field::Mode);
    }
    let (has_a, has_b) = match old {
        Parties::Axb { .. } | Parties::Axyb { .. } => (true, true),
        Parties::Ax { .. }
        | Parties::Axe { .. }
        | Parties::Axn { .. }
        | Parties::Axn95 { .. }
        | Parties::Axg { .. }
        | Parties::Inbound { .. }
        | Parties::Paired { .. } => (true, false),
        Parties::Gxb { .. } | Parties::Gxyb { .. } => (false, true),
        // Those who are paired are paired with that employee.
        Parties::Xb { .. } => (false, false),
    };
    if request.b.is_some() && !has_b {
        return has_no(Field::B);
    }
    if request.a.is_some() && !has_a {
        return has_no(Field::A);
    }
    if request.group.is_some() && old.group().is_none() {
        return has_no(Field::Group);
    }
    let a = |old| request.a.unwrap_or(old);
    let b = |old| request.b.unwrap_or(old);
    let group = |old| request.group.unwrap_or(old);
    Ok(match old {
        Parties::Axb { a: of_a, b: of_b } => Parties::Axb {
            a: a(of_a),
            b: b(of_b),
        },
        Parties::Ax { a: of_a } => Parties::Ax { a: a(of_a) },
        Parties::Axn { a: of_a } => Parties::Axn { a: a(of_a) },
        Parties::Axn95 { a: of_a } => Parties::Axn95 { a: a(of_a) },
        Parties::Axe { a: of_a, e } => Parties::Axe { a: a(of_a), e },
        Parties::Axyb { a: of_a, y, b: of_b } => Parties::Axyb {
            a: a(of_a),
            y,
            b: b(of_b),
        },
        Parties::Axg {
            a: of_a,
            group: of_group,
        } => Parties::Axg {
            a: a(of_a),
            group: group(of_group),
        },
        Parties::Gxb {
            group: of_group,
            b: of_b,
        } => Parties::Gxb {
            group: group(of_group),
            b: b(of_b),
        },
        Parties::Gxyb {
            group: of_group,
            y,
            b: of_b,
        } => Parties::Gxyb {
            group: group(of_group),
            y,
            b: b(of_b),
        },
        Parties::Xb { b } => Parties::Xb { b },
        Parties::Paired { a: of_a, b } => Parties::Paired { a: a(of_a), b },
        Parties::Inbound { base } => Parties::Inbound { base: a(base) },
    })
}
