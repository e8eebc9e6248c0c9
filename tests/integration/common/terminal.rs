//! A terminal of a test's own: what a command writes on it, standard output and standard error on one screen.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Returns what is on the screen when the command has ended.
pub fn screen(command: &mut Command) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let terminal = ptsname(&master, Vec::new()).unwrap();
    let open = || File::options().read(true).write(true).open(terminal.to_str().unwrap()).unwrap();
    let mut child = command.stdout(open()).stderr(open()).spawn().unwrap();
    command.stdout(Stdio::null()).stderr(Stdio::null()); // the child's are the only ones that are open
    let reader = std::thread::spawn(move || {
        let (mut master, mut bytes, mut some) = (File::from(master), Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = master.read(&mut some) {
            bytes.extend_from_slice(&some[..count]); // until nobody has the terminal open
        }
        String::from_utf8(bytes).unwrap()
    });
    child.wait().unwrap();
    reader.join().unwrap().replace("\r\n", "\n")
}
