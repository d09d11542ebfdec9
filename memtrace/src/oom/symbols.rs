//! Names of kernel functions, from /proc/kallsyms.
//!
//! Input: addresses of a kernel stack. Output: names, `None` for unknown addresses. Read once, at the first use.

use blazesym::{
    MaybeDefault,
    symbolize::{
        Input, Symbolized, Symbolizer,
        source::{Kernel, Source},
    },
};

/// A source of names for kernel addresses.
pub trait KernelSymbols {
    /// The function of each address.
    fn names(&self, addresses: &[u64]) -> Vec<Option<String>>;
}

/// The running kernel's symbols.
#[derive(Debug)]
pub struct Kallsyms {
    symbolizer: Symbolizer,
}

impl Default for Kallsyms {
    fn default() -> Self {
        Self { symbolizer: Symbolizer::new() }
    }
}

impl KernelSymbols for Kallsyms {
    fn names(&self, addresses: &[u64]) -> Vec<Option<String>> {
        // Do not search the kernel image on disk: function names do not need it.
        let source = Source::Kernel(Kernel { vmlinux: MaybeDefault::None, ..Kernel::default() });
        match self.symbolizer.symbolize(&source, Input::AbsAddr(addresses)) {
            Ok(found) => found
                .into_iter()
                .map(|symbolized| match symbolized {
                    Symbolized::Sym(symbol) => Some(symbol.name.into_owned()),
                    Symbolized::Unknown(_) => None,
                })
                .collect(),
            Err(error) => {
                tracing::warn!(%error, "failed to resolve kernel addresses");
                vec![None; addresses.len()]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kallsyms, KernelSymbols};

    /// An address in kallsyms must get its name; without permission kallsyms shows zeros, and there are no names.
    #[test]
    fn kernel_functions_have_their_names() {
        let text = std::fs::read_to_string("/proc/kallsyms").unwrap();
        let line = text.lines().find(|line| {
            line.ends_with(" T mem_cgroup_out_of_memory") || line.ends_with(" t mem_cgroup_out_of_memory")
        });
        let address =
            line.and_then(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok()).unwrap_or(0);
        let names = Kallsyms::default().names(&[address + 8]);
        let expected = (address != 0).then(|| "mem_cgroup_out_of_memory".to_owned());
        assert_eq!(names, [expected]);
    }
}
