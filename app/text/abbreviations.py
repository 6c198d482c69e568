"""Words that end in a full stop without ending a sentence, by language.

Each language is a table of plain words, in lower case and without the last stop. A newcomer adds a language by
adding one entry to `_TABLES`.
"""

# ruff: noqa: ISC004, RUF001 - tables of words in many scripts, one column a string

from dataclasses import dataclass
from functools import lru_cache
from typing import Final


@dataclass(frozen=True, slots=True)
class Rules:
    """What the finder asks of a language.

    `never`: a stop behind these is no end, whatever follows ("Dr.", "e.g.").
    `numbered`: no end in front of a number ("No. 7", "Jan. 2020"); else as any word.
    `trailing`: an end only if the next word is a usual opening word ("the U.S. He", "Main St. Then").
    `clock`: an end unless the next word is a day or zone ("5 p.m. Monday").
    `starters`: usual opening words, in lower case; they are taken as proof of a new sentence behind an abbreviation.
    `ordinals`: numbers with a stop are ordinals here ("2. Weltkrieg").
    """

    never: frozenset[str]
    numbered: frozenset[str]
    trailing: frozenset[str]
    clock: frozenset[str]
    starters: frozenset[str]
    ordinals: bool = False


def words(listed: str) -> frozenset[str]:
    """The words of a list that is separated by blanks."""
    return frozenset(listed.split())


_ENGLISH: Final = Rules(
    never=words(
        "mr mrs ms mx dr prof gen lt col capt cpt cmdr adm maj sgt cpl pvt rev hon sen rep gov pres supt fr br msgr "
        "messrs mme mlle mt e.g i.e eg ie vs viz cf approx incl esp resp asst assoc v insp det amb ald "
        "rt mgr"
    ),
    numbered=words(
        "no nos fig figs sec secs ch chap eq eqs art arts p pp vol vols rm ca c para pt app ver v ed ref tab ex "
        "jan feb mar apr jun jul aug sep sept oct nov dec ft in oz lb lbs yd mi km cm mm kg hr hrs min mins mph "
        "tel ext apt ste rte hwy op bk col line ll approx circa gal sq cu"
    ),
    trailing=words(
        "inc corp ltd co bros jr sr esq st ave blvd rd ln ct pl hwy etc al dept dist est assn mfg univ intl govt "
        "misc ed eds ret wm chas geo jos thos mon tue tues thu thur thurs fri "
        "calif conn fla mich minn okla penn tenn tex wis ariz ark kans ky neb nev"
    ),
    clock=words("a.m p.m a.d b.c b.c.e c.e"),
    starters=words(
        "the a an this that these those he she it we you they i his her its our your their my there here then "
        "when while where what who why how if in on at by for from with as after before but and or so yet "
        "however although though since because until once now today yesterday tomorrow later no not nobody "
        "some many most all both each every one two another such is are was were do does did can could will "
        "would should may might must let please more meanwhile also still even i'm i've i'd i'll he's she's it's "
        "we're they're that's there's don't didn't isn't can't won't never perhaps maybe yes none everyone"
    ),
)

# The other languages in this part: titles and the commonest abbreviations, enough for honest prose.
_TABLES: Final[dict[str, tuple[str, str, str]]] = {
    # A language has three columns: never, numbered, starters.
    "de": (
        "dr prof hr fr frl st z.b d.h u.a u.s.w usw bzw ca evtl ggf inkl zzgl vgl geb gest str nr abs art bd bzgl "
        "sog tel dipl ing mag hl o.ä u.ä v.a i.d.r z.t m.e s.o s.u jh jhd mio mrd min max abb kap",
        "nr abs art bd s kap abb jan feb aug sept okt nov dez",
        "der die das ein eine er sie es wir ihr ich dann da dort hier aber und doch so nun heute gestern morgen "
        "danach später wenn als weil obwohl was wer wo wie warum auch nicht man dies dieser diese dieses",
    ),
    "fr": (
        "m mm mme mmes mlle mlles dr pr me st ste c.-à-d p.ex cf env av bd boul éd ex no vol p pp chap art fig",
        "no vol p pp chap art fig n",
        "le la les un une des il elle ils elles on nous vous je tu ce cette ces mais et puis alors",
    ),
    "es": (
        "sr sra srta sres sras dr dra d dña don ud uds vd vds lic ing prof gral ee uu p.ej ej pág págs núm art "
        "cap fig vol avda av c cía aprox admón dpto tel",
        "núm pág págs art cap fig vol",
        "el la los las un una unos unas él ella ellos ellas yo tú nosotros y pero entonces luego no se su",
    ),
    "it": (
        "sig sigg sig.ra sig.na dott dott.ssa prof prof.ssa ing avv arch geom rag on sen p.es es ecc pag pagg "
        "art cap fig vol n tel ca s ss v.le",
        "pag pagg art cap fig vol n",
        "il lo la i gli le un una egli lui lei loro noi voi io tu ma e poi allora non si",
    ),
    "nl": (
        "dhr mevr mw dr drs ir ing prof mr bijv bv d.w.z enz etc o.a m.a.w i.p.v t.o.v z.g zgn nr blz art ca incl "
        "excl resp jl vgl st",
        "nr blz art ca",
        "de het een hij zij ze wij we ik jij jullie dan daar hier maar en toen nu dit dat deze die er",
    ),
    "pl": (
        "p dr prof mgr inż hab lek św ul al pl os im np tzn tzw tj m.in godz ok r ur zm wg nr str rys tab "
        "art ust pkt płk gen por kpt ks bp abp",
        "godz nr str rys tab art ust pkt ok",
        "ten ta to on ona ono oni my wy ja ty i a ale potem wtedy nie jest w na",
    ),
    "cs": (
        "dr prof ing mgr bc mudr judr phdr rndr doc p pí sl sv np např tj tzn tzv atd apod č čís str obr tab odst "
        "ul nám tř kpt plk gen cca min max mj resp popř",
        "č čís str obr tab odst",
        "ten ta to on ona ono my vy já ty a ale pak potom tak v na ne je",
    ),
    "ru": (
        "г гг ул пр просп пл д кв стр с см рис табл т.е т.к т.д т.н т.п напр др проф акад доц тов гр руб "
        "им св о обл р.н пос дер тыс млн млрд",
        "рис табл стр с гл п № ст",
        "он она оно они мы вы я ты это этот эта эти но и а потом тогда не в на как так что",
    ),
    "el": (
        "κ κα κος δρ καθ π.χ δηλ αρ σελ κεφ τηλ οδ βλ",
        "αρ σελ κεφ",
        "ο η το οι τα ένας μια αυτός αυτή και αλλά",
    ),
    "vi": (
        "pgs ts gs ths ks cn bs ls tp q p tt đ.c v.v.và tr",
        "tr q p",
        "các những tôi anh chị ông bà nó họ và",
    ),
    "hi": ("डॉ श्री श्रीमती प्रो कु सं रु", "सं रु", ""),
    "ar": ("د أ م أ.د ص ج ت هـ", "ص ج", ""),
}
_ORDINAL_LANGUAGES: Final = frozenset(
    {"de", "cs", "da", "nb", "no", "fi", "hu", "sk", "sl", "hr", "et", "pl"}
)


@lru_cache(maxsize=64)
def rules(language: str | None) -> Rules:
    """The rules for a language tag ("de-AT" reads "de"); English ones where the language is not known."""
    primary = (language or "en").replace("_", "-").split("-", 1)[0].lower()
    table = _TABLES.get(primary)
    if table is None:
        return _ENGLISH
    never, numbered, starters = (words(column) for column in table)
    return Rules(
        never=never - numbered,
        numbered=numbered,
        trailing=_ENGLISH.trailing & words("inc corp ltd co jr sr etc"),
        clock=_ENGLISH.clock,
        starters=starters,
        ordinals=primary in _ORDINAL_LANGUAGES,
    )
