//! What a fax line says (ITU-T T.38 Annex D): the known parameters, each of a closed form, and nothing else.

use serde::{Deserialize, Serialize};

use super::fmtp;

/// The fastest fax (V.34), in bit/s.
const BIT_RATE_MAX: u32 = 33_600;
/// The newest version of T.38 that has a number.
const VERSION_MAX: u32 = 4;

/// The parameters of a line `m=image … udptl t38`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Fax {
    /// `T38FaxVersion`, 0–4.
    pub version: Option<u8>,
    /// `T38MaxBitRate`, at most 33,600 bit/s.
    pub bit_rate_max: Option<u32>,
    /// `T38FaxRateManagement`: whose check of the line's rate it is.
    pub rate: Option<RateManagement>,
    /// `T38FaxMaxBuffer`, in bytes.
    pub buffer_max: Option<u16>,
    /// `T38FaxMaxDatagram`, in bytes.
    pub datagram_max: Option<u16>,
    /// `T38FaxUdpEC`: how lost datagrams are made good.
    pub correction: Option<Correction>,
}

/// Who checks how fast a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RateManagement {
    /// Each end by itself.
    Local,
    /// Both together.
    Transferred,
}

/// How lost datagrams are made good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Correction {
    /// Each datagram repeats those before.
    Redundancy,
    /// By parity.
    Fec,
    /// They aren't.
    None,
}

impl RateManagement {
    const ALL: [Self; 2] = [Self::Local, Self::Transferred];

    /// The word in the description.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "localTCF",
            Self::Transferred => "transferredTCF",
        }
    }
}

impl Correction {
    const ALL: [Self; 3] = [Self::Redundancy, Self::Fec, Self::None];

    /// The word in the description.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redundancy => "t38UDPRedundancy",
            Self::Fec => "t38UDPFEC",
            Self::None => "t38UDPNoEC",
        }
    }
}

impl Fax {
    /// Reads an attribute of the line, if it is one of those that are known.
    pub(super) fn read(&mut self, name: &[u8], value: &[u8]) {
        let value = value.trim_ascii();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let said = |word: &str| value.eq_ignore_ascii_case(word.as_bytes());
        let number = |most: u32| fmtp::number(value).filter(|number| *number <= most);
        let bytes = || number(u32::from(u16::MAX)).and_then(|bytes| u16::try_from(bytes).ok());
        if is("T38FaxVersion") {
            self.version = number(VERSION_MAX).and_then(|version| u8::try_from(version).ok());
        } else if is("T38MaxBitRate") {
            self.bit_rate_max = number(BIT_RATE_MAX);
        } else if is("T38FaxRateManagement") {
            self.rate = RateManagement::ALL.into_iter().find(|rate| said(rate.name()));
        } else if is("T38FaxMaxBuffer") {
            self.buffer_max = bytes();
        } else if is("T38FaxMaxDatagram") {
            self.datagram_max = bytes();
        } else if is("T38FaxUdpEC") {
            self.correction = Correction::ALL.into_iter().find(|kind| said(kind.name()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_parameters_of_a_known_form_are_kept() {
        let mut fax = Fax::default();
        for (name, value) in [
            ("t38faxversion", "0"),
            ("T38MaxBitRate", " 14400 "),
            ("T38FaxRateManagement", "TRANSFERREDTCF"),
            ("T38FaxMaxBuffer", "262"),
            ("T38FaxMaxDatagram", "90"),
            ("T38FaxUdpEC", "t38UDPFEC"),
            ("T38VendorInfo", "13800000001"),
        ] {
            fax.read(name.as_bytes(), value.as_bytes());
        }
        let wanted = Fax {
            version: Some(0),
            bit_rate_max: Some(14_400),
            rate: Some(RateManagement::Transferred),
            buffer_max: Some(262),
            datagram_max: Some(90),
            correction: Some(Correction::Fec),
        };
        assert_eq!(fax, wanted);
        for (name, value) in [
            ("T38FaxVersion", "13800000001"),
            ("T38MaxBitRate", "33601"),
            ("T38FaxRateManagement", "none"),
            ("T38FaxMaxBuffer", "70000"),
            ("T38FaxMaxDatagram", "-1"),
            ("T38FaxUdpEC", ""),
        ] {
            fax.read(name.as_bytes(), value.as_bytes());
        }
        assert_eq!(fax, Fax::default());
    }
}
