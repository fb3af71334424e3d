//! The local time zone, its distance from UTC at a moment; and whether the clock is kept. The one place that asks
//! the C library.

/// Seconds that local clocks are ahead of UTC at `unix_s` (seconds since 1970); 0 if nobody knows.
pub fn offset_s(unix_s: i64) -> i64 {
    let time: libc::time_t = unix_s;
    // SAFETY: `tm` is plain numbers and one pointer that we don't read; all zeros is a valid value of it.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals of the right types, and localtime_r keeps neither.
    let filled = unsafe { libc::localtime_r(&raw const time, &raw mut parts) };
    if filled.is_null() { 0 } else { parts.tm_gmtoff }
}

/// Whether a time server keeps the system's clock, as the kernel knows (adjtimex(2)); `None` if it doesn't say.
pub fn synchronised() -> Option<bool> {
    // SAFETY: `timex` is plain numbers; all zeros is a valid value, and `modes` 0 asks without changing anything.
    let mut times: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live local of the right type, which adjtimex fills and doesn't keep.
    match unsafe { libc::adjtimex(&raw mut times) } {
        ..0 => None,
        libc::TIME_ERROR => Some(false),
        _ => Some(times.status & libc::STA_UNSYNC == 0),
    }
}
