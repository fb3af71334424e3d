//! How urgent the packets of a socket are, as routers are told (RFC 2474).

/// A differentiated-services code point: six bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dscp(u8);

impl Dscp {
    /// CS3, as networks expect it of signalling (24).
    pub const SIGNALLING: Self = Self(24);
    /// Expedited forwarding, for voice (46, RFC 3246).
    pub const VOICE: Self = Self(46);
    /// The highest one.
    pub const MAX: u8 = 63;

    /// The lowest six bits of a number; 0 is a packet like any other.
    pub const fn of(number: u8) -> Self {
        Self(number & Self::MAX)
    }

    /// The byte of an IP header that holds it (TOS, traffic class), without the two bits of congestion.
    pub const fn byte(self) -> u32 {
        (self.0 as u32) << 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_lowest_bits_of_the_byte_are_left_to_congestion() {
        assert_eq!(Dscp::SIGNALLING.byte(), 0x60);
        assert_eq!(Dscp::VOICE.byte(), 0xb8);
        assert_eq!(Dscp::of(0).byte(), 0);
        assert_eq!(Dscp::of(63).byte(), 0xfc);
    }
}
