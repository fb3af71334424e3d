//! A service manager as systemd is one to a service with `Type=notify` and `FileDescriptorStoreMax=`: it hears on a
//! Unix socket, keeps the descriptors that come with `FDSTORE=1` under their names, and hands them to the next process
//! by `LISTEN_FDS`.
#![allow(dead_code)] // each test binary uses its part

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IoSliceMut, Read as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use super::server::PATIENCE;

/// The manager of one service.
pub struct Manager {
    path: PathBuf,
    store: Arc<Mutex<Store>>,
}

#[derive(Default)]
struct Store {
    fds: BTreeMap<String, OwnedFd>,
    /// Every message, in order.
    news: Vec<String>,
}

impl Manager {
    /// A manager whose socket is in `dir`.
    pub fn new(dir: &Path) -> Self {
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a place for the socket");
        let store = Arc::new(Mutex::new(Store::default()));
        let keeper = store.clone();
        thread::spawn(move || {
            while let Some((text, fds)) = receive(&socket) {
                keeper.lock().expect("whole").hear(text, fds);
            }
        });
        Self { path, store }
    }

    /// Starts `umbra serve` in `dir` as a service, with what is kept.
    pub fn start(&self, dir: &Path) -> Child {
        let store = self.store.lock().expect("whole");
        let names: Vec<&str> = store.fds.keys().map(String::as_str).collect();
        let out = File::options()
            .create(true)
            .append(true)
            .open(dir.join("server.out"));
        let out = out.expect("a file for its output");
        // A shell puts the descriptors where they are to be, and becomes the server: so LISTEN_PID is right.
        let mut script = String::new();
        let kept: Vec<RawFd> = store.fds.values().map(AsRawFd::as_raw_fd).collect();
        for (at, fd) in kept.iter().enumerate() {
            script.push_str(&format!("exec {}<&{fd} {fd}<&-; ", 3 + at));
        }
        script.push_str(&format!(
            "LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={} exec {} serve --conf umbra.toml",
            names.len(),
            names.join(":").replace(['[', ']'], "\\&"),
            env!("CARGO_BIN_EXE_umbra"),
        ));
        let mut command = Command::new("bash");
        command
            .arg("-c")
            .arg(script)
            .current_dir(dir)
            .env("NOTIFY_SOCKET", &self.path)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("the same file"))
            .stderr(out);
        // SAFETY: fcntl may be called between fork and exec.
        unsafe {
            command.pre_exec(move || {
                for fd in &kept {
                    libc::fcntl(*fd, libc::F_SETFD, 0);
                }
                Ok(())
            });
        }
        command.spawn().expect("a shell")
    }

    /// The names of what is kept.
    pub fn kept(&self) -> Vec<String> {
        self.store.lock().expect("whole").fds.keys().cloned().collect()
    }

    /// Waits until a message has this line that none before `since` messages had; returns how many there are.
    pub fn await_line(&self, line: &str, since: usize) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let store = self.store.lock().expect("whole");
            if store
                .news
                .iter()
                .skip(since)
                .any(|news| news.lines().any(|l| l == line))
            {
                return store.news.len();
            }
            drop(store);
            assert!(Instant::now() < deadline, "the manager waits for {line}");
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Store {
    fn hear(&mut self, text: String, fds: Vec<OwnedFd>) {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key))
                .map(str::to_owned)
        };
        let name = value("FDNAME=").unwrap_or_else(|| "stored".to_owned());
        if value("FDSTOREREMOVE=").is_some() {
            self.fds.remove(&name);
        }
        if value("FDSTORE=").is_some() {
            for fd in fds {
                // The same socket once more is let go, as systemd does.
                self.fds.entry(name.clone()).or_insert(fd);
            }
        }
        self.news.push(text);
    }
}

/// The next message, and the descriptors that came with it.
fn receive(socket: &UnixDatagram) -> Option<(String, Vec<OwnedFd>)> {
    let mut text = [0_u8; 4_096];
    let mut control = [0_u64; 256];
    let mut part = IoSliceMut::new(&mut text);
    // SAFETY: all zeros is an empty header.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = (&raw mut part).cast();
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = std::mem::size_of_val(&control) as _;
    // SAFETY: an IoSliceMut has the layout of an iovec; part and control live during the call.
    let read = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    let read = usize::try_from(read).ok()?;
    let mut fds = Vec::new();
    // SAFETY: the kernel filled `control` as far as msg_controllen says.
    let mut item = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !item.is_null() {
        // SAFETY: a whole header within `control`; SCM_RIGHTS holds descriptors, which are ours from here on.
        unsafe {
            if ((*item).cmsg_level, (*item).cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let bytes = (*item).cmsg_len - libc::CMSG_LEN(0) as usize;
                for at in 0..bytes / std::mem::size_of::<RawFd>() {
                    let fd = std::ptr::read_unaligned(libc::CMSG_DATA(item).cast::<RawFd>().add(at));
                    let fd = OwnedFd::from_raw_fd(fd);
                    // Out of the way of those that a service is handed: 3 and following.
                    let far = libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 100);
                    assert!(far >= 100, "there is room for it");
                    fds.push(OwnedFd::from_raw_fd(far));
                }
            }
            item = libc::CMSG_NXTHDR(&raw const message, item);
        }
    }
    let mut words = String::new();
    text.get(..read)?.read_to_string(&mut words).ok()?;
    Some((words, fds))
}
