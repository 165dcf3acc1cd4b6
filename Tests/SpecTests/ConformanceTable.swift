import Foundation

/// `Spec/conformance.json`, and what must hold of it.
struct ConformanceTable: Decodable {
    /// Rows about one subject.
    struct Section: Decodable {
        var title: String
        var isDifferences: Bool?
        var rows: [Row]
    }

    /// One thing that a client can see.
    struct Row: Decodable, Hashable {
        var id: String
        var what: String
        var does: String
        var reason: String?
        var proofs: [String]?
    }

    var sections: [Section]

    /// The committed table.
    static func committed() throws -> ConformanceTable {
        try JSONDecoder().decode(ConformanceTable.self, from: PackageTree.contents(of: "Spec/conformance.json"))
    }

    /// Every row.
    var rows: [Row] { self.sections.flatMap(\.rows) }

    /// The row with a name.
    func row(_ id: String) -> Row? { self.rows.first { $0.id == id } }

    /// What is wrong with the table, row by row; nothing when all is well.
    func problems(_ finder: ProofFinder = ProofFinder()) -> [String] {
        var problems: [String] = []
        var seen: Set<String> = []
        for section in self.sections {
            for row in section.rows {
                if !seen.insert(row.id).inserted { problems.append("\(row.id): is there twice") }
                if row.what.isEmpty || !row.does.hasSuffix(".") {
                    problems.append("\(row.id): does not say what is done")
                }
                problems += Self.problems(with: row, isDifference: section.isDifferences == true)
                for proof in row.proofs ?? [] {
                    if let problem = finder.problem(with: proof) { problems.append("\(row.id): \(proof) \(problem)") }
                }
            }
        }
        return problems
    }

    private static func problems(with row: Row, isDifference: Bool) -> [String] {
        if isDifference { return row.reason?.isEmpty == false ? [] : ["\(row.id): has no reason"] }
        return row.proofs?.isEmpty == false ? [] : ["\(row.id): has no proof"]
    }
}
