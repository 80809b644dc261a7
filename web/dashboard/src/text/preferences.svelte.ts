// What this screen prefers; kept in the browser, and never more than that.
import { type Text, en } from './en.ts';
import { es } from './es.ts';

export const LANGUAGES = { en: 'English', es: 'Español' } as const;
export type Language = keyof typeof LANGUAGES;
export const THEMES = ['dark', 'light', 'contrast'] as const;
export type Theme = (typeof THEMES)[number];

const TEXTS: Record<Language, Text> = { en, es };

const kept = (name: string): string | null => {
  try {
    return localStorage.getItem(`vitalwire.${name}`);
  } catch {
    return null;
  }
};

const keep = (name: string, value: string) => {
  try {
    localStorage.setItem(`vitalwire.${name}`, value);
  } catch {
    // A browser that keeps nothing is asked again the next time.
  }
};

const firstLanguage = (): Language => {
  const wanted = [kept('language') ?? '', ...navigator.languages].map((code) => code.slice(0, 2));
  return wanted.find((code): code is Language => code in LANGUAGES) ?? 'en';
};

class Preferences {
  #language = $state<Language>(firstLanguage());
  #theme = $state<Theme>(THEMES.find((theme) => theme === kept('theme')) ?? 'dark');
  #hasSound = $state(kept('sound') !== 'off');

  get language(): Language {
    return this.#language;
  }
  set language(language: Language) {
    this.#language = language;
    keep('language', language);
  }
  get theme(): Theme {
    return this.#theme;
  }
  set theme(theme: Theme) {
    this.#theme = theme;
    keep('theme', theme);
  }
  get hasSound(): boolean {
    return this.#hasSound;
  }
  set hasSound(hasSound: boolean) {
    this.#hasSound = hasSound;
    keep('sound', hasSound ? 'on' : 'off');
  }
}

export const preferences = new Preferences();

/** All words of the page, in its language. */
export const words = (): Text => TEXTS[preferences.language];
