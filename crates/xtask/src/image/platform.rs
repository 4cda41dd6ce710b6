//! For which machines an image is.

use clap::ValueEnum;

/// A kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Platform {
    /// 64 bits of Intel and AMD.
    #[value(name = "linux/amd64")]
    Amd64,
    /// 64 bits of ARM.
    #[value(name = "linux/arm64")]
    Arm64,
}

impl Platform {
    /// This machine's, if an image can be for it.
    pub fn here() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// As OCI, Go and Debian call it.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As Rust calls it.
    pub fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// As compilers for C call it, and Debian its folders of libraries.
    pub fn triplet(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }

    /// What the header of a program for it has.
    fn machine(self) -> [u8; 2] {
        match self {
            Self::Amd64 => [0x3e, 0],
            Self::Arm64 => [0xb7, 0],
        }
    }

    /// For which machine a program is, if its first bytes are those of one.
    pub fn of_program(content: &[u8]) -> Option<Self> {
        let machine = content.get(18..20).filter(|_| content.starts_with(b"\x7fELF"))?;
        [Self::Amd64, Self::Arm64].into_iter().find(|platform| platform.machine() == machine)
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "linux/{}", self.architecture())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_tells_its_machine() {
        let mut program = b"\x7fELF".to_vec();
        program.resize(64, 0);
        assert_eq!(Platform::of_program(&program), None);
        program[18] = 0xb7;
        assert_eq!(Platform::of_program(&program), Some(Platform::Arm64));
        program[18] = 0x3e;
        assert_eq!(Platform::of_program(&program), Some(Platform::Amd64));
        assert_eq!(Platform::of_program(b"#!/bin/sh\n# a script is no program of either\n"), None);
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(Platform::of_program(&own), Platform::here());
    }
}
