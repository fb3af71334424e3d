//! The address of a server that is asked over HTTP (RFC 9110 §4.2), as an admin writes it: parsed once, at the door.

use std::fmt;

use super::limits::URL_BYTES_MAX;

/// An `http` or `https` URL with a host. It never holds a user, a password or a fragment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpUrl {
    text: Box<str>,
    scheme: Scheme,
    /// Where the host ends in the text; it begins behind the scheme.
    host_end: usize,
    /// Where the path begins.
    path: usize,
    port: u16,
}

/// By what a server is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Within TLS.
    Https,
}

/// What is wrong with a URL; a sentence for whoever wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadUrl {
    /// Neither of the two schemes.
    #[error("a URL begins with http:// or https://")]
    Scheme,
    /// Longer than [`URL_BYTES_MAX`].
    #[error("a URL has at most {URL_BYTES_MAX} bytes")]
    TooLong,
    /// Not made of visible ASCII.
    #[error(
        "a URL has no spaces and nothing but ASCII: write other letters as %XX, and names by their xn-- form"
    )]
    Letters,
    /// A user or a password in it.
    #[error("a URL with a user or a password in it is shown in listings: leave them out")]
    User,
    /// A fragment is the reader's own and is never sent.
    #[error("a URL ends before its #")]
    Fragment,
    /// No host, or one that can't be.
    #[error("the URL's host is neither a name nor an address")]
    Host,
    /// A port that can't be.
    #[error("the URL's port isn't 1 to 65535")]
    Port,
}

impl HttpUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        if text.len() > URL_BYTES_MAX {
            return Err(BadUrl::TooLong);
        }
        if !text.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(BadUrl::Letters);
        }
        let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        let (scheme, from) = if lower.starts_with("https://") {
            (Scheme::Https, 8)
        } else if lower.starts_with("http://") {
            (Scheme::Http, 7)
        } else {
            return Err(BadUrl::Scheme);
        };
        let rest = text.get(from..).unwrap_or_default();
        if rest.contains('#') {
            return Err(BadUrl::Fragment);
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(BadUrl::User);
        }
        let host = host_of(authority)?;
        let port = match authority.get(host.len()..).unwrap_or_default() {
            "" => scheme.port(),
            port => port
                .strip_prefix(':')
                .filter(|port| port.bytes().all(|c| c.is_ascii_digit()))
                .and_then(|port| port.parse().ok())
                .filter(|port| *port > 0)
                .ok_or(BadUrl::Port)?,
        };
        Ok(Self {
            text: text.into(),
            scheme,
            host_end: from + host.len(),
            path: from + authority.len(),
            port,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// By what its server is spoken to.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host: a name, an IPv4 address, or an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        self.text
            .get(self.scheme.prefix()..self.host_end)
            .unwrap_or_default()
    }

    /// The host without brackets.
    pub fn bare_host(&self) -> &str {
        self.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, the scheme's own if it names none.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What a request's Host says: the port only if it is not the scheme's own (RFC 9110 §7.2).
    pub fn authority(&self) -> &str {
        let end = if self.port == self.scheme.port() {
            self.host_end
        } else {
            self.path
        };
        self.text.get(self.scheme.prefix()..end).unwrap_or_default()
    }

    /// What a request's first line names: path and query (RFC 9112 §3.2.1).
    pub fn target(&self) -> String {
        let target = self.text.get(self.path..).unwrap_or_default();
        if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/{target}")
        }
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for HttpUrl {
    /// A query may hold a key of the customer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({})", self.authority())
    }
}

impl Scheme {
    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// How long `http://` is.
    const fn prefix(self) -> usize {
        match self {
            Self::Http => 7,
            Self::Https => 8,
        }
    }
}

/// The host at the beginning of an authority, in its brackets if it is an IPv6 address.
fn host_of(authority: &str) -> Result<&str, BadUrl> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(BadUrl::Host)?;
        let address = authority.get(1..end).unwrap_or_default();
        let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
        return authority.get(..=end).filter(|_| is_address).ok_or(BadUrl::Host);
    }
    let host = authority.split(':').next().unwrap_or_default();
    let is_letter = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_');
    let is_name = !host.is_empty() && host.len() <= 253 && host.bytes().all(is_letter);
    if is_name && !host.starts_with('.') {
        Ok(host)
    } else {
        Err(BadUrl::Host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Scheme, String, u16, String, String) {
        let url = HttpUrl::parse(text).expect(text);
        let (host, authority) = (url.bare_host().to_owned(), url.authority().to_owned());
        (url.scheme(), host, url.port(), authority, url.target())
    }

    #[test]
    fn a_url_is_taken_apart() {
        let text = |s: &str| s.to_owned();
        for (url, scheme, host, port, authority, target) in [
            (
                "http://a.example",
                Scheme::Http,
                "a.example",
                80,
                "a.example",
                "/",
            ),
            (
                "HTTPS://a.example/",
                Scheme::Https,
                "a.example",
                443,
                "a.example",
                "/",
            ),
            (
                "https://a.example:443/ask?k=1",
                Scheme::Https,
                "a.example",
                443,
                "a.example",
                "/ask?k=1",
            ),
            (
                "http://127.0.0.1:8080/ask",
                Scheme::Http,
                "127.0.0.1",
                8080,
                "127.0.0.1:8080",
                "/ask",
            ),
            ("http://[::1]:81?q", Scheme::Http, "::1", 81, "[::1]:81", "/?q"),
        ] {
            assert_eq!(
                parts(url),
                (scheme, text(host), port, text(authority), text(target)),
                "{url}"
            );
        }
    }

    #[test]
    fn what_is_no_url_of_a_server_is_refused() {
        for (url, why) in [
            ("ftp://a.example/", BadUrl::Scheme),
            ("a.example", BadUrl::Scheme),
            ("", BadUrl::Scheme),
            ("http://", BadUrl::Host),
            ("http:///ask", BadUrl::Host),
            ("http://.example/", BadUrl::Host),
            ("http://a_b!c/", BadUrl::Host),
            ("http://[::1/", BadUrl::Host),
            ("http://[nobody]/", BadUrl::Host),
            ("http://a.example:0/", BadUrl::Port),
            ("http://a.example:65536/", BadUrl::Port),
            ("http://a.example:+80/", BadUrl::Port),
            ("http://[::1]80/", BadUrl::Port),
            ("http://me:word@a.example/", BadUrl::User),
            ("http://a.example/#top", BadUrl::Fragment),
            ("http://a.example/a b", BadUrl::Letters),
            ("http://例.example/", BadUrl::Letters),
        ] {
            assert_eq!(HttpUrl::parse(url), Err(why), "{url}");
        }
        let long = format!("http://a.example/{}", "a".repeat(URL_BYTES_MAX));
        assert_eq!(HttpUrl::parse(&long), Err(BadUrl::TooLong));
    }
}
