/// What topic patterns mean, written down as plainly as possible and without regard to cost.
enum PlainMatcher {
    /// Whether a pattern matches a routing key.
    static func matches(_ pattern: String, _ key: String) -> Bool {
        self.matches(self.words(pattern)[...], self.words(key)[...])
    }

    /// What stands between dots, empty words included; the empty text has no word.
    static func words(_ text: String) -> [String] {
        text.isEmpty ? [] : text.split(separator: ".", omittingEmptySubsequences: false).map { String($0) }
    }

    private static func matches(_ pattern: ArraySlice<String>, _ key: ArraySlice<String>) -> Bool {
        guard let word = pattern.first else { return key.isEmpty }
        let rest = pattern.dropFirst()
        if word == "#" {
            return (0...key.count).contains { self.matches(rest, key.dropFirst($0)) }
        }
        guard let head = key.first, word == "*" || word == head else { return false }
        return self.matches(rest, key.dropFirst())
    }
}
