/// Turns the specification's names into ours: hyphens to camel case, `id` to `ID`, words that the specification ran
/// together taken apart.
enum SwiftName {
    private static let words = ["nowait": "no-wait"]
    private static let acronyms: Set<String> = ["id"]
    private static let keywords: Set<String> = ["internal", "return"]

    /// A type name: `start-ok` becomes `StartOk`.
    static func type(_ name: String) -> String {
        self.parts(name).map(self.capitalised).joined()
    }

    /// A member name: `virtual-host` becomes `virtualHost`, `class-id` becomes `classID`.
    static func member(_ name: String) -> String {
        let parts = self.parts(name)
        return parts[0] + parts.dropFirst().map(self.capitalised).joined()
    }

    /// A member name fit for a declaration or a bare use.
    static func declared(_ name: String) -> String {
        let member = self.member(name)
        return self.keywords.contains(member) ? "`\(member)`" : member
    }

    /// The case of a reply code: `NOT_FOUND` becomes `notFound`.
    static func constant(_ name: String) -> String {
        self.member(name.lowercased().replacing("_", with: "-"))
    }

    private static func parts(_ name: String) -> [String] {
        (self.words[name] ?? name).split(separator: "-").map(String.init)
    }

    private static func capitalised(_ word: String) -> String {
        self.acronyms.contains(word) ? word.uppercased() : word.prefix(1).uppercased() + word.dropFirst()
    }
}
