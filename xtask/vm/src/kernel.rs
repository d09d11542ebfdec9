//! The kernels: one row each, by the exact name of the package that holds it.
//!
//! Data, and the name that is typed -> its row. Must not look at any mirror.

/// One kernel.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Kernel {
    /// What is typed, and what the tables are called.
    pub(crate) series: &'static str,
    /// Debian's suite.
    pub(crate) suite: &'static str,
    /// The package with the image in it.
    pub(crate) package: &'static str,
    /// Whether the kernel is also booted locked down.
    pub(crate) lockdown: bool,
}

/// All of them, oldest first. The cloud images: small, and with all that a guest of ours needs built in.
/// From 7.x on Debian has the image in a package of its own, without the modules.
pub(crate) const KERNELS: [Kernel; 5] = [
    kernel("5.10", "bullseye", "linux-image-5.10.0-32-cloud-amd64"),
    kernel("6.1", "bookworm", "linux-image-6.1.0-50-cloud-amd64"),
    Kernel { lockdown: true, ..kernel("6.12", "trixie", "linux-image-6.12.107+deb13-cloud-amd64") },
    kernel("6.18", "trixie-backports", "linux-image-6.18.15+deb13-cloud-amd64"),
    kernel("7.3", "trixie-backports", "linux-binary-7.3.4+deb13-cloud-amd64"),
];

const fn kernel(series: &'static str, suite: &'static str, package: &'static str) -> Kernel {
    Kernel { series, suite, package, lockdown: false }
}

/// The kernel of this name.
pub(crate) fn parse(series: &str) -> Result<&'static Kernel, String> {
    let known = || KERNELS.map(|kernel| kernel.series).join(", ");
    KERNELS
        .iter()
        .find(|kernel| kernel.series == series)
        .ok_or_else(|| format!("expected one of {}", known()))
}

impl Kernel {
    /// What packages of the same series are called: all of it but what follows the series.
    pub(crate) fn is_of_series(&self, package: &str) -> bool {
        let Some((kind, _)) = self.package.split_once(self.series) else { return false };
        let rest = package.strip_prefix(kind).and_then(|rest| rest.strip_prefix(self.series));
        rest.is_some_and(|rest| rest.starts_with('.') && rest.ends_with("-cloud-amd64"))
    }
}

/// Orders versions as people read them: numbers by their value.
pub(crate) fn version_order(name: &str) -> Vec<u64> {
    let numbers = name.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    numbers.map(|number| number.parse().unwrap_or(u64::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_found_by_its_series() {
        assert_eq!(parse("6.1").unwrap().suite, "bookworm");
        assert_eq!(parse("6.2").unwrap_err(), "expected one of 5.10, 6.1, 6.12, 6.18, 7.3");
    }

    #[test]
    fn a_series_is_not_another_that_begins_with_the_same_digits() {
        let kernel = parse("6.1").unwrap();
        assert!(kernel.is_of_series("linux-image-6.1.0-53-cloud-amd64"));
        assert!(!kernel.is_of_series("linux-image-6.12.107+deb13-cloud-amd64"));
        assert!(!kernel.is_of_series("linux-image-6.1.0-53-amd64"));
        assert!(!kernel.is_of_series("linux-headers-6.1.0-53-cloud-amd64"));
        assert!(parse("7.3").unwrap().is_of_series("linux-binary-7.3.11+deb13-cloud-amd64"));
    }

    #[test]
    fn every_pinned_package_is_of_its_series() {
        assert!(KERNELS.iter().all(|kernel| kernel.is_of_series(kernel.package)));
    }

    #[test]
    fn the_newest_is_the_one_with_the_highest_numbers() {
        let mut names = ["a-6.12.99+deb13-x", "a-6.12.107+deb13-x", "a-6.12.9+deb13-x"];
        names.sort_by_key(|name| version_order(name));
        assert_eq!(names, ["a-6.12.9+deb13-x", "a-6.12.99+deb13-x", "a-6.12.107+deb13-x"]);
    }
}
