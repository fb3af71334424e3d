//! The local time zone: its distance from UTC at a moment. The one place that asks the C library.

/// Seconds that local clocks are ahead of UTC at `unix_s` (seconds since 1970); 0 if nobody knows.
pub fn offset_s(unix_s: i64) -> i64 {
    let time: libc::time_t = unix_s;
    // SAFETY: `tm` is plain numbers and one pointer that we don't read; all zeros is a valid value of it.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals of the right types, and localtime_r keeps neither.
    let filled = unsafe { libc::localtime_r(&raw const time, &raw mut parts) };
    if filled.is_null() { 0 } else { parts.tm_gmtoff }
}
