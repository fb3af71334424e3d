//! By what right somebody is called.

use super::emergency;
use super::phase::Through;
use crate::base::number::{Consent, RealNumber, Shown, Tel, VirtualNumber};
use crate::masking::binding::Terms;
use crate::masking::inventory::Fax;
use crate::masking::route::Plan;

/// The right to call somebody: whom, and what they see.
#[derive(Clone, Debug)]
pub enum Warrant {
    /// By a binding.
    Masked(Plan),
    /// By an emergency number.
    Emergency(Help),
}

/// The right to call an emergency number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Help {
    called: Tel,
    calling: Option<RealNumber>,
    trunk: usize,
}

impl Help {
    /// A call of `calling` to `number`, by the trunk at this place in the conf. `None`: it is no number that can be called.
    pub fn at(number: &emergency::Number, calling: Option<RealNumber>, trunk: usize) -> Option<Self> {
        Some(Self {
            called: number.tel()?,
            calling,
            trunk,
        })
    }

    /// The trunk that it leaves by.
    pub const fn trunk(&self) -> usize {
        self.trunk
    }
}

impl Warrant {
    /// Whom to call.
    pub const fn called(&self) -> RealNumber {
        match self {
            Self::Masked(plan) => plan.called(),
            Self::Emergency(help) => RealNumber::new(help.called),
        }
    }

    /// What the called party sees. Who takes an emergency call sees who calls, also where the caller hides it from
    /// others: help must be able to call back.
    pub fn shown(&self) -> Shown {
        match self {
            Self::Masked(plan) => plan.shown(),
            Self::Emergency(help) => match help.calling {
                Some(calling) => Shown::Real(calling, Consent::of_emergency()),
                None => Shown::Withheld,
            },
        }
    }

    /// The binding's terms; none of a call for help.
    pub fn terms(&self) -> Option<&Terms> {
        match self {
            Self::Masked(plan) => Some(&plan.binding().terms),
            Self::Emergency(_) => None,
        }
    }

    /// The right by a binding.
    pub const fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Masked(plan) => Some(plan),
            Self::Emergency(_) => None,
        }
    }

    /// What becomes of a fax that the call turns into.
    pub const fn fax(&self) -> Fax {
        match self {
            Self::Masked(plan) => plan.fax(),
            Self::Emergency(_) => Fax::Refuse,
        }
    }

    /// By which numbers the call goes: an emergency number stands for one of ours.
    pub fn through(&self) -> Through {
        match self {
            Self::Masked(plan) => Through {
                x: plan.number().x,
                shown: match plan.shown() {
                    Shown::Virtual(shown) => Some(shown),
                    Shown::Real(..) | Shown::Withheld => None,
                },
                calling: plan.calling(),
            },
            Self::Emergency(help) => Through {
                x: VirtualNumber::new(help.called),
                shown: None,
                calling: help.calling,
            },
        }
    }
}
