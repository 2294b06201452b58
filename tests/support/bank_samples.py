"""Account statements as banks write them: camt.053 in an older and a newer version, MT940 of a German and a Dutch
bank. Accounts, people and references are made up."""

from __future__ import annotations

from typing import Final

IBAN: Final = "DE89370400440532013000"
"""The account of all of them: the example of the IBAN registry."""
PAYER: Final = "GB29NWBK60161331926819"

CAMT_02: Final = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02">
 <BkToCstmrStmt>
  <GrpHdr><MsgId>053D2026-11-27</MsgId><CreDtTm>2026-11-27T23:30:47.0+01:00</CreDtTm></GrpHdr>
  <Stmt>
   <Id>2026-11-27-1</Id>
   <ElctrncSeqNb>227</ElctrncSeqNb>
   <CreDtTm>2026-11-27T23:30:47.0+01:00</CreDtTm>
   <Acct><Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>EUR</Ccy></Acct>
   <Bal><Tp><CdOrPrtry><Cd>PRCD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1000.00</Amt><CdtDbtInd>CRDT</CdtDbtInd>
    <Dt><Dt>2026-11-26</Dt></Dt></Bal>
   <Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1060.50</Amt><CdtDbtInd>CRDT</CdtDbtInd>
    <Dt><Dt>2026-11-27</Dt></Dt></Bal>
   <Ntry>
    <Amt Ccy="EUR">50.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts>
    <BookgDt><Dt>2026-11-27</Dt></BookgDt><ValDt><Dt>2026-11-27</Dt></ValDt>
    <AcctSvcrRef>2026112700001</AcctSvcrRef>
    <BkTxCd><Prtry><Cd>NTRF+166</Cd></Prtry></BkTxCd>
    <NtryDtls><TxDtls>
     <Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs>
     <RltdPties>
      <Dbtr><Nm>Erika Müller</Nm></Dbtr><DbtrAcct><Id><IBAN>GB29NWBK60161331926819</IBAN></Id></DbtrAcct>
      <Cdtr><Nm>Rialto</Nm></Cdtr>
     </RltdPties>
     <RmtInf><Ustrd>Aufladung {reference}</Ustrd></RmtInf>
    </TxDtls></NtryDtls>
   </Ntry>
   <Ntry>
    <Amt Ccy="EUR">20.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><RvslInd>true</RvslInd><Sts>BOOK</Sts>
    <BookgDt><Dt>2026-11-27</Dt></BookgDt>
    <AcctSvcrRef>2026112700002</AcctSvcrRef>
    <NtryDtls><TxDtls><RmtInf><Ustrd>Rückruf</Ustrd></RmtInf></TxDtls></NtryDtls>
   </Ntry>
   <Ntry>
    <Amt Ccy="EUR">30.50</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts>
    <BookgDt><Dt>2026-11-27</Dt></BookgDt>
    <AcctSvcrRef>2026112700003</AcctSvcrRef>
    <NtryDtls>
     <Btch><NbOfTxs>2</NbOfTxs></Btch>
     <TxDtls><Refs><EndToEndId>A-1</EndToEndId></Refs>
      <AmtDtls><TxAmt><Amt Ccy="EUR">10.00</Amt></TxAmt></AmtDtls>
      <RmtInf><Strd><CdtrRefInf><Ref>RF18 5390 0754 7034</Ref></CdtrRefInf></Strd></RmtInf></TxDtls>
     <TxDtls><Refs><EndToEndId>A-2</EndToEndId></Refs>
      <AmtDtls><TxAmt><Amt Ccy="EUR">20.50</Amt></TxAmt></AmtDtls></TxDtls>
    </NtryDtls>
   </Ntry>
   <Ntry>
    <Amt Ccy="EUR">999.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>PDNG</Sts>
   </Ntry>
  </Stmt>
 </BkToCstmrStmt>
</Document>
"""

CAMT_08: Final = """<?xml version="1.0" encoding="UTF-8"?>
<ns2:Document xmlns:ns2="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <ns2:BkToCstmrStmt>
  <ns2:Stmt>
   <ns2:Id>STMT-8</ns2:Id>
   <ns2:Acct><ns2:Id><ns2:IBAN>DE89370400440532013000</ns2:IBAN></ns2:Id></ns2:Acct>
   <ns2:Bal><ns2:Tp><ns2:CdOrPrtry><ns2:Cd>OPBD</ns2:Cd></ns2:CdOrPrtry></ns2:Tp>
    <ns2:Amt Ccy="EUR">5</ns2:Amt><ns2:CdtDbtInd>DBIT</ns2:CdtDbtInd></ns2:Bal>
   <ns2:Bal><ns2:Tp><ns2:CdOrPrtry><ns2:Cd>CLBD</ns2:Cd></ns2:CdOrPrtry></ns2:Tp>
    <ns2:Amt Ccy="EUR">7.5</ns2:Amt><ns2:CdtDbtInd>CRDT</ns2:CdtDbtInd></ns2:Bal>
   <ns2:Ntry>
    <ns2:Amt Ccy="EUR">12.50</ns2:Amt><ns2:CdtDbtInd>CRDT</ns2:CdtDbtInd>
    <ns2:Sts><ns2:Cd>BOOK</ns2:Cd></ns2:Sts>
    <ns2:BookgDt><ns2:DtTm>2026-11-28T09:15:00+01:00</ns2:DtTm></ns2:BookgDt>
    <ns2:NtryDtls><ns2:TxDtls>
     <ns2:Refs><ns2:EndToEndId>TU-77</ns2:EndToEndId></ns2:Refs>
     <ns2:Amt Ccy="EUR">12.50</ns2:Amt>
     <ns2:RltdPties><ns2:Dbtr><ns2:Pty><ns2:Nm>J. Doe</ns2:Nm></ns2:Pty></ns2:Dbtr>
      <ns2:DbtrAcct><ns2:Id><ns2:IBAN>GB29NWBK60161331926819</ns2:IBAN></ns2:Id></ns2:DbtrAcct></ns2:RltdPties>
     <ns2:RmtInf><ns2:Ustrd>part one</ns2:Ustrd><ns2:Ustrd>part two</ns2:Ustrd></ns2:RmtInf>
    </ns2:TxDtls></ns2:NtryDtls>
   </ns2:Ntry>
  </ns2:Stmt>
 </ns2:BkToCstmrStmt>
</ns2:Document>
"""

MT940_GERMAN: Final = """{{1:F01COBADEFFAXXX0000000000}}{{2:I940COBADEFFXXXXN}}{{4:
:20:STARTUMSE
:25:37040044/0532013000
:28C:00227/001
:60F:C261126EUR1000,00
:61:2611271127CR50,00N166NONREF//2026112700001
:86:166?00SEPA-UEBERWEISUNG?109310?20EREF+NOTPROVIDED?21SVWZ+Aufl
adung {first}?22{second}?30NWBKGB2LXXX?31GB29NWBK60161331926819?32ERIKA
 MUELLER
:61:2611271127D12,34N177PAYOUT1//2026112700002
:86:177?00EINZELUEBERWEISUNG?20EREF+01JDPAYOUT?21SVWZ+Auszahlung?32BOB
:61:2611271127RC5,00NRTIKREF//2026112700003
/BACK/
:61:2611271127RD2,00NMSCNONREF
:62F:C261127EUR1034,66
:64:C261127EUR1034,66
-}}
"""

MT940_DUTCH: Final = """ABNANL2A
940
ABNANL2A
:20:ABN AMRO BANK NV
:25:DE89370400440532013000
:28:19321/1
:60F:D261127EUR100,
:61:2611281128C0,01N654NONREF
:86:/TRTP/SEPA OVERBOEKING/IBAN/GB29NWBK60161331926819/BIC/NWBKGB2L
/NAME/J. DOE/REMI/{reference}/EREF/TU-77
:62F:D261128EUR99,99
-
:20:ABN AMRO BANK NV
:25:DE89370400440532013000
:28:19322/1
:60F:D261128EUR99,99
:62F:D261128EUR99,99
-
"""


def camt_02(reference: str = "RF18539007547034") -> bytes:
    """A camt.053.001.02 file: a transfer with a reference, a reversal, an entry for two payments, a pending one."""
    return CAMT_02.replace("{reference}", reference).encode()


def camt_08() -> bytes:
    """A camt.053.001.08 file with a prefix for its names."""
    return CAMT_08.encode()


def mt940_german(reference: str = "RF18539007547034") -> bytes:
    """MT940 in SWIFT's envelope; the reference is broken up as banks break it up."""
    return MT940_GERMAN.format(first=reference[:5], second=reference[5:]).encode("latin-1")


def mt940_dutch(reference: str = "RF18539007547034") -> bytes:
    """MT940 as a Dutch bank writes it: two statements."""
    return MT940_DUTCH.replace("{reference}", reference).removeprefix("ABNANL2A\n940\nABNANL2A\n").encode()


def camt_of(
    *entries: tuple[str, str, str, str], opening: str = "0.00", number: str = "S1", account: str = IBAN
) -> bytes:
    """A file with entries: (signed amount, bank's reference, end-to-end reference, text)."""
    from decimal import Decimal

    closing = Decimal(opening)
    lines = []
    for amount, bank, end_to_end, text in entries:
        closing += Decimal(amount)
        mark = "DBIT" if amount.startswith("-") else "CRDT"
        lines.append(
            f'<Ntry><Amt Ccy="EUR">{amount.lstrip("-")}</Amt><CdtDbtInd>{mark}</CdtDbtInd><Sts>BOOK</Sts>'
            f"<BookgDt><Dt>2026-11-28</Dt></BookgDt><AcctSvcrRef>{bank}</AcctSvcrRef><NtryDtls><TxDtls>"
            f"<Refs><EndToEndId>{end_to_end}</EndToEndId></Refs><RltdPties><Dbtr><Nm>Payer</Nm></Dbtr><DbtrAcct><Id>"
            f"<IBAN>{PAYER}</IBAN></Id></DbtrAcct></RltdPties><RmtInf><Ustrd>{text}</Ustrd></RmtInf>"
            "</TxDtls></NtryDtls></Ntry>"
        )
    mark = "DBIT" if closing < 0 else "CRDT"
    return "\n".join(
        [
            '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><Stmt>',
            f"<Id>{number}</Id><Acct><Id><IBAN>{account}</IBAN></Id></Acct>",
            f'<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{opening}</Amt>',
            "<CdtDbtInd>CRDT</CdtDbtInd></Bal>",
            f'<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{abs(closing)}</Amt>',
            f"<CdtDbtInd>{mark}</CdtDbtInd></Bal>",
            *lines,
            "</Stmt></BkToCstmrStmt></Document>",
        ]
    ).encode()
