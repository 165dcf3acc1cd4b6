/// The table of what Martlet does and what proves it.
struct ConformanceFile: Decodable {
    var sections: [ConformanceSection]
}

/// Rows about one subject.
struct ConformanceSection: Decodable {
    var title: String
    /// What a reader must know before the rows.
    var about: String
    /// Whether the rows say where Martlet is not what it wants to be; such a row gives its reason.
    var isDifferences: Bool?
    var rows: [ConformanceRow]
}

/// One thing that a client can see.
struct ConformanceRow: Decodable {
    /// A name that no other row has.
    var id: String
    /// What is looked at.
    var what: String
    /// What Martlet does, in a sentence.
    var does: String
    /// Why it does that, of a row among the differences.
    var reason: String?
    /// The tests that show it, as `path#name`.
    var proofs: [String]?
}
