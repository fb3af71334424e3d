//! Groups, their members and what their modes add to the terms, as bytes.

use super::{BadRecord, Reader, Record, put_duration, put_len, put_text, put_wall};
use crate::base::number::{RealNumber, Tel, VirtualNumber};
use crate::masking::binding::Rare;
use crate::masking::group::{Group, GroupId, Membership};
use crate::masking::turns::{Order, Ring};

impl Record {
    /// The group that a member's record names, or a binding's for a group.
    pub fn names_group(&self) -> Option<GroupId> {
        match self {
            Self::Member(member) => Some(member.group),
            Self::Binding(binding) => binding.parties.group(),
            Self::Account(_)
            | Self::Pool(_)
            | Self::Number(_)
            | Self::Forget(_)
            | Self::Callee(_)
            | Self::CalleeGone(_)
            | Self::Group(_)
            | Self::GroupGone(_)
            | Self::MemberGone(..)
            | Self::Last(_)
            | Self::LastGone(_) => None,
        }
    }
}

pub(super) fn put_group(out: &mut Vec<u8>, group: &Group) {
    out.extend_from_slice(&group.id.bits().to_le_bytes());
    out.extend_from_slice(&group.version.to_le_bytes());
    put_text(out, &group.name);
    put_text(out, &group.pool);
    put_text(out, &group.account);
    put_wall(out, group.created);
    out.extend_from_slice(&group.members.to_le_bytes());
    // Nobody's number is 0.
    let default = group.default.map_or(0, |number| number.key());
    out.extend_from_slice(&default.to_le_bytes());
    out.push(u8::from(group.ended.is_some()));
    if let Some(at) = group.ended {
        put_wall(out, at);
    }
}

pub(super) fn put_member(out: &mut Vec<u8>, member: &Membership) {
    out.extend_from_slice(&member.group.bits().to_le_bytes());
    out.extend_from_slice(&member.number.key().to_le_bytes());
    out.extend_from_slice(&member.version.to_le_bytes());
    put_wall(out, member.since);
    put_wall(out, member.until);
}

pub(super) fn put_terms(out: &mut Vec<u8>, rare: &Rare) {
    match &rare.ring {
        None => out.push(0),
        Some(ring) => {
            out.push(match ring.order {
                Order::Conditional => 1,
                Order::Unconditional => 2,
            });
            put_len(out, ring.list.len());
            for number in &ring.list {
                out.extend_from_slice(&number.key().to_le_bytes());
            }
            put_duration(out, Some(ring.each));
        }
    }
    let display = rare.display.map_or(0, |display| display.tel().bits());
    out.extend_from_slice(&display.to_le_bytes());
}

impl Reader<'_> {
    pub(super) fn group_id(&mut self) -> Result<GroupId, BadRecord> {
        GroupId::from_bits(u64::from_le_bytes(self.array()?)).ok_or(BadRecord::Field("group"))
    }

    pub(super) fn group(&mut self) -> Result<Group, BadRecord> {
        let (id, version) = (self.group_id()?, self.u32()?);
        let (name, pool, account) = (self.text("name")?, self.text("pool")?, self.text("account")?);
        let (created, members) = (self.wall()?, self.u32()?);
        let default = self.number_option("default member")?;
        let ended = self.flag("end")?.then(|| self.wall()).transpose()?;
        Ok(Group {
            id,
            version,
            name,
            pool,
            account,
            created,
            members,
            default: default.map(RealNumber::new),
            ended,
        })
    }

    pub(super) fn member(&mut self) -> Result<Membership, BadRecord> {
        Ok(Membership {
            group: self.group_id()?,
            number: self.real("member")?,
            version: self.u32()?,
            since: self.wall()?,
            until: self.wall()?,
        })
    }

    /// What earlier forms don't say stays as it is.
    pub(super) fn group_terms(&mut self, rare: &mut Rare) -> Result<(), BadRecord> {
        if self.schema < 5 {
            return Ok(());
        }
        let order = match self.byte()? {
            0 => None,
            1 => Some(Order::Conditional),
            2 => Some(Order::Unconditional),
            _ => return Err(BadRecord::Field("ring")),
        };
        if let Some(order) = order {
            let count = self.len()?;
            // No capacity from the wire.
            let mut list = Vec::new();
            for _ in 0..count {
                list.push(self.real("ring")?);
            }
            let each = self.duration()?.ok_or(BadRecord::Field("ring"))?;
            rare.ring = Some(Box::new(Ring { order, list, each }));
        }
        rare.display = self.number_option("display")?.map(VirtualNumber::new);
        Ok(())
    }

    /// A number, where 0 is none.
    pub(super) fn number_option(&mut self, field: &'static str) -> Result<Option<Tel>, BadRecord> {
        match u64::from_le_bytes(self.array()?) {
            0 => Ok(None),
            bits => Tel::from_bits(bits).map(Some).ok_or(BadRecord::Field(field)),
        }
    }
}
