"""Sentences in many languages are tokenised and joined again."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.text.tokenizers import detokenize
from sluice.text.units import WordUnit

SENTENCES = {
    "fr": (
        "L'oncle d'Alice n'a pas vu l'hôtel.",
        "Aujourd'hui, j'arrive à 8 heures.",
        "« Bonjour ! » dit-elle.",
        "Qu'est-ce que c'est ?",
        "Il coûte 3,50 € par kilo.",
        "Le prix a augmenté de 12 % en 2020.",
        "Mme Dupont et M. Martin sont arrivés.",
        "Attention : le train (n° 42) part ; dépêchez-vous !",
        "Elle a dit : « Je n'en sais rien... »",
        "Il y a 1 000 000 d'habitants.",
        "C'est l'avenir de l'« Europe ».",
        "Les enfants, etc., jouaient dehors.",
        "Où va-t-il ? Nulle part.",
        "Voir p. 12, chap. 3 [en anglais].",
        "Le ratio est de 3/4, soit 75 %.",
        '"Oui", répondit-il.',
        "Les années 1990-2000 furent belles.",
        "J'ai lu le n° 5 de l'Équipe.",
        "Rendez-vous à 12:30 ou à 18 h 45.",
        "Il a payé 20 $ ou 15 £, je crois.",
        "Écrivez à jean@exemple.fr ou visitez www.exemple.fr.",
        "Non !... Vraiment ?!",
        "L’oncle d’Alice n’a pas vu l’hôtel.",
        "Le lycée Jean-Baptiste-Say, à Paris (16e), est fermé.",
        "Quelque chose manque…",
        "L'équipe s'est qualifiée grâce à un but de N'Golo Kanté.",
        "Il a dit 'oui' puis 'non'.",
        "(voir l'annexe A)",
        "L'A380 vole à -5 °C.",
        "S'il vous plaît, M. le Président.",
        "« C'est l'été », dit-elle, « enfin ! »",
        "Prix : 5 €/kg, soit 100 000 € en tout.",
        "En 50 av. J.-C., c.-à-d. il y a longtemps.",
        "Appelez le +33 1 23 45 67.",
        "Score : 3-0 (à la mi-temps : 1-0).",
        "Lui : « Quoi ?! »",
        "Le 1er janvier, l'an 2000 (l'« an mil »).",
        '« "Oui" », a-t-il dit.',
        "J'ai 20 ans, l'âge d'or...",
        "Un café, s'il te plaît : 1,20 €.",
        "C'est-à-dire qu'elle l'a vu (jeudi).",
        "Presqu'île, quelqu'un, lorsqu'il, puisqu'on.",
        "L'eau bout à 100 °C, soit 212 °F.",
        "“Oui”, dit-il.",
        "https://www.exemple.fr/page est l'adresse.",
        "Le site (www.exemple.fr) d'aujourd'hui.",
    ),
    "it": (
        "La commedia dell'arte è nata in Italia.",
        "L'uomo non c'è, ma l'amica sì.",
        "Perché no? Non lo so!",
        "Costa 3,50 € al chilo.",
        "Il prezzo è salito del 12% nel 2020.",
        "Il dott. Rossi e il sig. Bianchi sono arrivati.",
        "Attenzione: il treno (n. 42) parte; sbrigatevi!",
        "«Buongiorno!», disse.",
        '"Buongiorno", disse "e arrivederci".',
        "Un po' di pane, per favore.",
        "Ha detto: «Non ne so niente...»",
        "Ci sono 1.000.000 di abitanti.",
        "Gli anni '90 furono belli.",
        "I bambini, ecc., giocavano.",
        "Vedi p. 12, cap. 3 [in inglese].",
        "Il rapporto è 3/4, cioè il 75%.",
        "Ci vediamo alle 12:30.",
        "Ha pagato 20 $ o 15 £, credo.",
        "Scrivi a mario@esempio.it.",
        "Quest'anno, nell'estate del 2021, tutt'altro.",
        "Qualcosa manca…",
        "L’uomo non c’è più.",
        "D'accordo, cos'è successo?",
        "È un'idea (forse) bella.",
        "Va' via e di' la verità!",
        "L'80% degli italiani, cioè l'1,5%.",
        "C'è l'«Unità» di oggi.",
        'Disse: "L\'ho visto".',
        "'Sì', disse lui.",
        "Nell'800 e nel sec. XIX.",
        "S. Pietro e l'Aquila, dall'alto.",
        "Un bell'uomo, un po' strano.",
        "Sta' zitto, per l'amor di Dio!",
        "Dov'è? Com'è bello!",
        "Il 1º maggio (festa) è chiuso.",
        "“Sì”, disse.",
        "Fa 20 °C all'ombra.",
        "Prezzo: 5 €/kg, ovvero 1.000 €.",
        "Il +39 06 è il prefisso.",
        "Ti do 'sto libro.",
    ),
    "de": (
        "Der Mann fährt mit dem Fahrrad.",
        "Wie geht's dir? Gut!",
        "Dr. Müller und Fr. Schmidt kamen z. B. um 8 Uhr.",
        "Das kostet 3,50 € pro Kilo.",
        "Der Preis stieg 2020 um 12% auf 1.000.000 Euro.",
        "„Guten Tag!“, sagte sie.",
        '"Guten Tag", sagte er "und auf Wiedersehen".',
        "Achtung: Der Zug (Nr. 42) fährt ab; beeilt euch!",
        "Er sagte: „Ich weiß nichts...“",
        "Die 90er-Jahre waren schön.",
        "Siehe S. 12, Kap. 3 [auf Englisch].",
        "Das Verhältnis ist 3/4, also 75%.",
        "Wir treffen uns um 12:30 Uhr.",
        "Er zahlte 20 $ oder 15 £, glaube ich.",
        "Schreib an max@beispiel.de.",
        "Der 1. Mai ist ein Feiertag.",
        "Hans' Auto ist rot.",
        "Etwas fehlt…",
        "Bücher, Hefte usw. lagen herum.",
        "Die E-Mail-Adresse (privat) fehlt.",
        "Ein- und Ausgänge sind 24/7 offen.",
        "‚Ja‘, sagte er.",
        "»Nein«, sagte sie.",
        "Er war - wie immer - zu spät.",
        "Er war – wie immer – zu spät.",
        "Es ist 5 °C kalt.",
        "'Ja', sagte er.",
        "Er sagte 'Nein' und ging.",
        "Hast du 'nen Moment?",
        "Goethes „Faust“ (1808) ist, d. h. war, bekannt.",
        "Nach § 5 Abs. 3 u. a. gilt das.",
        "Bayern gewann 3:1 (1:0).",
        "Die 50-jährige fährt 100 km/h.",
        "„Er sagte: ‚Nein!‘“",
        "Ja!!! Wirklich?!",
        "Wir gehen zu McDonald's, Peter.",
        "“Ja”, sagte sie.",
        "Das war’s; geht’s noch?",
        "Mit 25 m² und 3 m³ Raum.",
        "Siehe https://www.beispiel.de/seite im Netz.",
        "Er kam um 8.30 Uhr (MEZ), am 3. Oktober 1990.",
        "Rund 1.234,56 € (ca. $1.300) waren weg.",
        'Sie fragte: "Wer ist das?"',
        'Die "Zeit" und der "Spiegel" schreiben.',
        "Er heißt D'Artagnan, sie O'Neill.",
        "„Was?“, fragte er, „wie bitte?“",
        "So 'ne Sache, so ein Mist.",
        "Öffnungszeiten: 9–17 Uhr.",
        "Der Buchstabe 'n' fehlt.",
    ),
    "es": (
        "¿Cómo estás? ¡Muy bien!",
        "«Hola», dijo ella.",
        "Cuesta 3,50 € (barato).",
        "El 12% de los niños, etc.",
        "¡Hola! ¿Qué tal?",
    ),
    "pt": (
        "Olá, como está?",
        "D'água e pão.",
        "Custa 3,50 € (barato).",
    ),
    "ca": (
        "L'home d'aquí no s'ho creu.",
        "Val 3,50 € (barat).",
    ),
    "ga": ("D'fhág sé an t-uisce.",),
    "nl": (
        "'s Ochtends is het koud.",
        "Foto's en auto's.",
        "Het is zo'n mooie dag.",
        "'s Avonds in 't bos, om 's morgens te gaan.",
        "€ 3,50 (korting).",
    ),
    "cs": (
        "Dobrý den, jak se máte?",
        "„Ano,“ řekl.",
        "Máte-li čas, přijďte.",
        "Stojí to 3,50 Kč (levně).",
        "Napište mi e-mail!",
        "Bylo 8. května 1945.",
        "Pan Novák, tj. soused, odešel...",
        "Je to 12% z 1000.",
    ),
    "pl": ("„Tak”, powiedział.",),
    "ru": (
        "«Да», сказал он.",
        "Это стоит 3,50 ₽ (дёшево).",
    ),
    "fi": (
        "Hyvää päivää, mitä kuuluu?",
        "EU:n ja USA:n suhteet.",
        "Hinta on 3,50 € kilolta.",
        '"Kyllä", hän sanoi.',
        "Klo 12:30 (torstaina) alkaa!",
        "EU:ssa on 27 maata.",
    ),
    "sv": (
        '"Ja", sa han.',
        "EU:s medlemmar.",
    ),
    "th": ("ฉันรักภาพยนตร์",),
    "ko": (
        "나는 영화를 좋아한다.",
        '"안녕!" 그가 말했다.',
    ),
    "hi": ("वह हिन्दी बोलता है।",),
}
MOSES = {language: WordUnit(language=language) for language in SENTENCES}


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_are_restored(language: str) -> None:
    unit = MOSES[language]
    assert [unit.join(unit.split(sentence)) for sentence in SENTENCES[language]] == list(SENTENCES[language])


@pytest.mark.parametrize("language", ["fr", "it", "es"])
def test_other_tokenizers_follow_the_language(language: str) -> None:
    unit = WordUnit(language=language, tokenizer="words")
    sentences = [text for text in SENTENCES[language] if "-" not in text and "+" not in text]
    assert [unit.join(unit.split(sentence)) for sentence in sentences] == sentences


@pytest.mark.parametrize(
    ("tokens", "language", "text"),
    [
        ("Das is n't", "de", "Das is n't"),
        ("L' oncle", "fr-CA", "L'oncle"),
        ("L' oncle", "FR", "L'oncle"),
        ("我 喜欢 电影 ， 3 个 。", "zh", "我喜欢电影， 3 个。"),
        ("私 は 映画 が 好き です 。", "ja", "私は映画が好きです。"),
        ("ฉัน รัก ภาพยนตร์", "th", "ฉันรักภาพยนตร์"),
        ("fin »", "fr", "fin »"),
        ("Ende “", "de", "Ende “"),
        ("12 @,@ 5", "de", "12,5"),
        ("他说 ： “ 你好 ！ ”", "zh", "他说：“你好！”"),
        ("彼は「こんにちは ！ 」と言った 。", "ja", "彼は「こんにちは！」と言った。"),
    ],
)
def test_tokens_are_joined(tokens: str, language: str, text: str) -> None:
    assert detokenize(tokens.split(), language) == text


def is_text(token: str) -> bool:
    """Whether a token isn't a separator of WikiText such as "@,@"."""
    return not re.fullmatch(r"@[^\w\s]@", token)


@given(
    tokens=st.lists(
        st.text("aL's’\"«»“„‘‚(.:?%€°@/–+12五”é\u0301", min_size=1, max_size=3).filter(is_text), max_size=9
    ),
    language=st.sampled_from([*SENTENCES, "", "xx"]),
)
def test_no_character_is_lost(tokens: list[str], language: str) -> None:
    assert detokenize(tokens, language).replace(" ", "") == "".join(tokens)
